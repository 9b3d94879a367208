"""What studies make of their runs: by name, over seeds, at equal steps and at equal time, in a table."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import plus_minus, spread
from rich.console import Console
from rich.table import Table

from hf_contrastive.errors import RecipeError

Run = dict[str, Any]
Figures = Mapping[str, Callable[[Run], float]]  # by name: where a run has them


def by_name(output: Path, pattern: str = "*.json") -> dict[str, list[Run]]:
    """The results in a folder by what they are called before their seed: `NAME-42.json`."""
    runs: dict[str, list[Run]] = {}
    for path in sorted(output.glob(pattern)):
        runs.setdefault(path.stem.rpartition("-")[0], []).append(json.loads(path.read_text(encoding="utf-8")))
    return runs


def at_step(curve: Sequence[dict[str, float]], key: str, step: float = math.inf) -> float:
    """A figure after so many steps, on the line between two measurements; before the first it is the first one's."""
    before = curve[0]
    for entry in curve:
        if entry["step"] >= step:
            share = (step - before["step"]) / max(entry["step"] - before["step"], 1)
            return before[key] + max(share, 0.0) * (entry[key] - before[key])
        before = entry
    return before[key]


def over_seeds(made: Sequence[Run], figures: Figures) -> dict[str, Any]:
    """How many seeds and steps, and mean and spread of `figures` and of the seconds of training."""
    summary = {"seeds": len(made), "steps": made[0]["steps"]}
    every = {**figures, "train_seconds": lambda run: run["train_seconds"]}
    return summary | {key: spread([figure(run) for run in made]) for key, figure in every.items()}


def step_seconds(path: Path) -> dict[str, float]:
    """What a step takes by GROUP-SOURCE, as `graph_costs.py` has measured it: a run may share its machine.

    Raises:
        RecipeError: it has not.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: not there; run benchmarks/graph_costs.py first")
    return mean_seconds(json.loads(path.read_text(encoding="utf-8")))


def mean_seconds(costs: Run) -> dict[str, float]:
    """The same of what the file has in it."""
    return {name: figures["step_seconds"]["mean"] for name, figures in costs["summary"].items()}


def with_cost(
    runs: Mapping[str, list[Run]], plain: str, figures: Figures, seconds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """`over_seeds` by name, and `cost`: what a step takes beside one of the `plain` source.

    Args:
        runs: of every seed, by GROUP-SOURCE.
        seconds: what a step takes, by GROUP-SOURCE.
    """
    cost = {name: seconds[name] / seconds[f"{name.rpartition('-')[0]}-{plain}"] for name in runs}
    return {name: over_seeds(made, figures) | {"cost": cost[name]} for name, made in runs.items()}


def at_equal_steps_and_time(
    runs: Mapping[str, list[Run]], key: str, plain: str, figures: Figures, seconds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """`with_cost`, what `key` was in the end, and what it was when runs with `plain` for a source would have ended.

    Time is counted in steps: as many as the run has, divided by the cost; what costs less than `plain` is not given
    more steps for it. The learning rate has to be constant.
    """
    summary = with_cost(runs, plain, figures, seconds)
    for name, made in runs.items():
        fewer = made[0]["steps"] / summary[name]["cost"]
        for column, steps in {"equal_steps": math.inf, "equal_time": fewer}.items():
            summary[name][column] = spread([at_step(run["curve"], key, steps) for run in made])
    return summary


def show(summary: Mapping[str, dict[str, Any]], columns: Mapping[str, str], title: str) -> None:
    """Print mean ± standard deviation over the seeds, times 100, of figures under the names of their `columns`."""
    table = Table("", "seeds", "steps", *columns.values(), "seconds", title=title)
    for name, figures in summary.items():
        cells = [plus_minus(figures[key], 1, 100) for key in columns]
        seconds = f"{figures['train_seconds']['mean']:.0f}"
        table.add_row(name, str(figures["seeds"]), str(figures["steps"]), *cells, seconds)
    Console().print(table)
