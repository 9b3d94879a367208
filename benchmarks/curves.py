"""What studies make of their runs: by name, over seeds, at equal steps and at equal time, in a table."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import plus_minus, spread
from rich.console import Console
from rich.table import Table

Run = dict[str, Any]
Figures = Mapping[str, Callable[[Run], float]]  # by name: where a run has them


def by_name(output: Path, pattern: str = "*.json") -> dict[str, list[Run]]:
    """The results in a folder by what they are called before their seed: `NAME-42.json`."""
    runs: dict[str, list[Run]] = {}
    for path in sorted(output.glob(pattern)):
        runs.setdefault(path.stem.rpartition("-")[0], []).append(json.loads(path.read_text(encoding="utf-8")))
    return runs


def budget(runs: Sequence[Run]) -> float:
    """Mean seconds of training of runs, with 2% for what one run differs from the next by."""
    return 1.02 * sum(run["train_seconds"] for run in runs) / len(runs)


def at_time(curve: Sequence[dict[str, float]], key: str, seconds: float = math.inf) -> float:
    """A figure when it was last measured after no more than so many seconds of training; 0 where it never was."""
    reached = [entry[key] for entry in curve if entry["eval_after_train_seconds"] <= seconds]
    return reached[-1] if reached else 0.0


def over_seeds(made: Sequence[Run], figures: Figures) -> dict[str, Any]:
    """How many seeds and steps, and mean and spread of `figures` and of the seconds of training."""
    summary = {"seeds": len(made), "steps": made[0]["steps"]}
    every = {**figures, "train_seconds": lambda run: run["train_seconds"]}
    return summary | {key: spread([figure(run) for run in made]) for key, figure in every.items()}


def at_equal_steps_and_time(output: Path, key: str, plain: str, figures: Figures) -> dict[str, dict[str, Any]]:
    """`over_seeds` by name, with what `key` was in the end, and when the runs ended that have `plain` for a source."""
    runs, summary = by_name(output), {}
    for name, made in runs.items():
        seconds = budget(runs.get(f"{name.rpartition('-')[0]}-{plain}", made))
        curve: Figures = {
            "equal_steps": lambda run: at_time(run["curve"], key),
            "equal_time": lambda run, seconds=seconds: at_time(run["curve"], key, seconds),
        }
        summary[name] = over_seeds(made, {**figures, **curve})
    return summary


def show(summary: Mapping[str, dict[str, Any]], columns: Mapping[str, str], title: str) -> None:
    """Print mean ± standard deviation over the seeds, times 100, of figures under the names of their `columns`."""
    table = Table("", "seeds", "steps", *columns.values(), "seconds", title=title)
    for name, figures in summary.items():
        cells = [plus_minus(figures[key], 1, 100) for key in columns]
        seconds = f"{figures['train_seconds']['mean']:.0f}"
        table.add_row(name, str(figures["seeds"]), str(figures["steps"]), *cells, seconds)
    Console().print(table)
