"""What the tables of results share: grouping runs, and cells of Markdown."""

from collections.abc import Iterable, Sequence
from statistics import mean, stdev
from typing import Any

Runs = list[dict[str, Any]]


def by_name(runs: Runs) -> dict[str, Runs]:
    """Runs by the name of their file, without the seed behind it."""
    grouped: dict[str, Runs] = {}
    for run in runs:
        grouped.setdefault(run["file"].rpartition("-")[0], []).append(run)
    return grouped


def rounds(results: dict[str, Any]) -> int:
    """How often each contestant of a benchmark was measured."""
    return len({measurement["round"] for measurement in results["measurements"]})


def percent(figures: dict[str, float]) -> dict[str, float]:
    """Times 100."""
    return {key: 100 * value for key, value in figures.items()}


def mean_sd(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation, of several values."""
    return plus_minus({"mean": mean(values), "stdev": stdev(values) if len(values) > 1 else 0.0}, digits)


def plus_minus(figures: dict[str, float], digits: int) -> str:
    """Mean and standard deviation; without the latter where there is none, of a single value."""
    spread = f" ± {figures['stdev']:,.{digits}f}" if figures["stdev"] else ""
    return f"{figures['mean']:,.{digits}f}{spread}"


def machine(*environments: dict[str, Any]) -> str:
    """Devices, how many cores were used, and versions, of runs that may have had unlike ones."""
    devices = _either([", ".join([*one["gpus"], one["cpu"]]) for one in environments])
    used = sorted({cores(one) for one in environments})
    versions = _either([f"torch {one['torch']}, transformers {one['transformers']}" for one in environments])
    return f"{devices}, {_either(map(str, used))} core{'s' * (used != [1])}, {versions}"


def cores(environment: dict[str, Any]) -> int:
    """Of those there were, the ones that were used."""
    return min(environment["cores"], environment["threads"])


def machines(runs: Runs) -> str:
    """`machine` of the runs of a study, which may have gone on elsewhere."""
    return machine(*(run["environment"] for run in runs))


def _either(names: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(names))


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table whose first column holds names."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
