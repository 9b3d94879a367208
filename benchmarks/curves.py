"""What studies make of runs that have noted a figure, and the seconds of training so far, several times."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def by_name(output: Path) -> dict[str, list[dict[str, Any]]]:
    """The results in a folder by what they are called before their seed: `NAME-42.json`."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(output.glob("*.json")):
        runs.setdefault(path.stem.rpartition("-")[0], []).append(json.loads(path.read_text(encoding="utf-8")))
    return runs


def budget(runs: Sequence[dict[str, Any]]) -> float:
    """Mean seconds of training of runs, with 2% for what one run differs from the next by."""
    return 1.02 * sum(run["train_seconds"] for run in runs) / len(runs)


def at_time(curve: Sequence[dict[str, float]], key: str, seconds: float = math.inf) -> float:
    """A figure when it was last measured after no more than so many seconds of training; 0 where it never was."""
    reached = [entry[key] for entry in curve if entry["eval_after_train_seconds"] <= seconds]
    return reached[-1] if reached else 0.0
