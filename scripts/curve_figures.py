"""Curves of the studies: a figure as training goes, mean over seeds with the spread around it."""

import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import curves
import kg_study

WORD_SOURCES = {"negative_sampling": "negative sampling", "ace": "ACE", "adv": "ADV (lambda = 0)"}
SETS = ("WS-353", "SimLex-999", "RW")
GRAPH_SOURCES = {"ace": "ACE", "kbgan": "KBGAN-style", "nscaching": "NSCaching"}  # called otherwise than in the study


def words_curves(results: Path, output: Path) -> None:
    """Word similarity by iteration: the ACE paper's figure."""
    runs = curves.by_name(results)
    figure, axes = pyplot.subplots(1, len(SETS), figsize=(12, 3.6), constrained_layout=True)
    for axis, name in zip(axes, SETS, strict=True):
        for source, label in WORD_SOURCES.items():
            if source in runs:
                draw(axis, runs[source], f"eval_{name}", label)
        axis.set(title=name, xlabel="step of 4,096 words")
    axes[0].set_ylabel("Spearman x 100")
    axes[-1].legend()
    save(figure, output)


def graph_curves(results: Path, output: Path) -> None:
    """Validation MRR by the seconds that the steps take on a machine with nothing else to do."""
    runs, seconds = curves.by_name(results), curves.step_seconds(results.parent / kg_study.COSTS.name)
    groups = list(dict.fromkeys(name.rpartition("-")[0] for name in runs))
    figure, axes = pyplot.subplots(1, len(groups), figsize=(1 + 4 * len(groups), 3.8), constrained_layout=True)
    for axis, group in zip([axes] if len(groups) == 1 else axes, groups, strict=True):
        for source in kg_study.SOURCES:
            if made := runs.get(f"{group}-{source}"):
                label = GRAPH_SOURCES.get(source, source.replace("_", " "))
                draw(axis, made, "eval_mrr", label, seconds[f"{group}-{source}"])
        graph, _, model = group.rpartition("-")
        axis.set(title=f"{graph}, {model}", xlabel="seconds of training")
        axis.legend(loc="lower right", fontsize="small")
    figure.axes[0].set_ylabel("validation MRR x 100")
    save(figure, output)


def draw(axis: Axes, runs: list[dict[str, Any]], key: str, label: str, step: float = 1) -> None:
    """A curve through what all runs have measured; `step` is how wide a step is."""
    values: dict[int, list[float]] = {}
    for entry in (entry for run in runs for entry in run["curve"] if key in entry):
        values.setdefault(entry["step"], []).append(100 * entry[key])
    made = {at: found for at, found in sorted(values.items()) if len(found) == len(runs)}
    where, means = [step * at for at in made], [mean(found) for found in made.values()]
    spread = [stdev(found) if len(runs) > 1 else 0.0 for found in made.values()]
    (line,) = axis.plot(where, means, label=f"{label}, {len(runs)} seed{'s' * (len(runs) > 1)}")
    bounds = [[m + sign * s for m, s in zip(means, spread, strict=True)] for sign in (-1, 1)]
    axis.fill_between(where, *bounds, alpha=0.2, color=line.get_color(), linewidth=0)


def save(figure: Any, output: Path) -> None:
    """Write a PNG."""
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)
    pyplot.close(figure)
