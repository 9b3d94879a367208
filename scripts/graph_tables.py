"""Tables of what was measured with knowledge graphs and hierarchies."""

import sys
from pathlib import Path
from typing import Any

from table_cells import Runs, by_name, cores, machine, machines, markdown, mean_sd, percent, plus_minus

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
import curves
import hypernymy_study
import kg_study

KG_CONTESTANTS = {
    "ours": "ours, negatives for each triple",
    "ours_shared": "ours, as many for all triples of a batch",
    "pykeen": "PyKEEN",
}
PARTS = {"train": "training", "evaluate": "filtered evaluation"}


def kg_table(runs: Runs) -> str:
    """Triples a second beside PyKEEN's."""
    results, rows = runs[0], []
    for interaction, parts in results["summary"].items():
        for part, figures in parts.items():
            for name in (name for name in KG_CONTESTANTS if name in figures):
                called = KG_CONTESTANTS[name] if part == "train" or name == "pykeen" else "ours"
                rate, ratio = figures[name]["triples_per_second"], figures[name].get("ratio")
                row = [
                    f"{interaction}, {PARTS[part]}: {called}",
                    plus_minus(rate, 0),
                    plus_minus(ratio, 2) if ratio else "",
                ]
                rows.append(row)
    settings, environment = results["settings"], results["environment"]
    counts = _rounds_of_each(results)
    fewest, most = min(counts), max(counts)
    of_rounds = f"{fewest} to {most} rounds" if most > fewest else f"{most} rounds"
    return markdown(["", "triples/s", "to PyKEEN"], rows) + (
        f"\n{settings['graph']}, d = {settings['dimension']}, batch {settings['batch']}, {settings['negatives']} "
        f"negatives a triple, {settings['threads']} threads; mean ± standard deviation over {of_rounds} in turns. "
        f"{machine(environment)}, PyKEEN {environment['pykeen']}.\n"
    )


def _rounds_of_each(results: dict[str, Any]) -> list[int]:
    """How often each model was measured."""
    turns: dict[str, set[int]] = {}
    for measurement in results["measurements"]:
        turns.setdefault(measurement["interaction"], set()).add(measurement["round"])
    return [len(made) for made in turns.values()]


def kg_study_table(runs: Runs) -> str:
    """Sources of negatives by graph and model, over their seeds."""
    runs, seconds = _with_costs(runs)
    table = _study(kg_study.summarise(by_name(runs), seconds), kg_study.COLUMNS)
    return table + (
        f"\n{CAPTION} At equal time: after as many steps, divided by the cost where that is above 1. Filtered "
        f"ranks, x 100. {machines(runs)}.\n"
    )


def hypernymy_study_table(runs: Runs) -> str:
    """Sources of negatives by protocol, over their seeds."""
    runs, seconds = _with_costs(runs)
    table = _study(hypernymy_study.summarise(by_name(runs), seconds), hypernymy_study.COLUMNS)
    return f"{table}\n{CAPTION} Accuracy x 100, threshold chosen on dev. {machines(runs)}.\n"


CAPTION = "Mean ± standard deviation over seeds. Cost: seconds a step beside the plain source's, measured in turns."


def _with_costs(runs: Runs) -> tuple[Runs, dict[str, float]]:
    """Runs, and what a step takes by the file of costs that is read along with them."""
    (costs,) = (run for run in runs if run["file"] == kg_study.COSTS.stem)
    return [run for run in runs if run is not costs], curves.mean_seconds(costs)


def _study(summary: dict[str, dict[str, Any]], columns: dict[str, str]) -> str:
    rows = []
    for name, made in summary.items():
        called = ", ".join(part.replace("_", " ") for part in _parts(name))
        cells = [plus_minus(percent(made[column]), 1) for column in columns]
        rows.append([called, *cells, f"{made['cost']:.2f}", str(made["seeds"]), f"{made['steps']:,}"])
    return markdown(["", *columns.values(), "cost", "seeds", "steps"], rows)


def _parts(name: str) -> list[str]:
    """`FB15k-237-transe-ace` is of three parts: a graph's name may have a hyphen."""
    return name.rsplit("-", 2) if name.count("-") > 1 else name.split("-")


def recipes_table(runs: Runs) -> str:
    """What recipes of graphs and hierarchies reach on test."""
    rows = []
    for name, made in by_name(runs).items():
        if "both" in made[0]["after"]:
            mrr, hits, _, seeds, _ = _link_prediction(made)
            reached = f"MRR {mrr}, Hits@10 {hits}"
        else:
            reached, seeds = f"accuracy {mean_sd([100 * run['after']['accuracy'] for run in made], 1)}", str(len(made))
        minutes = mean_sd([run["train_seconds"] / 60 for run in made], 1)
        rows.append(
            [
                f"`recipes/{name.replace('-', '/', 1)}.yaml`",
                reached,
                minutes,
                str(cores(made[0]["environment"])),
                seeds,
            ]
        )
    return markdown(["", "test", "minutes of training", "cores", "seeds"], rows) + (
        f"\nx 100, filtered ranks; mean ± standard deviation over seeds. {machines(runs)}.\n"
    )


def _link_prediction(made: Runs) -> list[str]:
    cells = [mean_sd([100 * run["after"]["both"][key] for run in made], 1) for key in ("mrr", "hits_at_10")]
    seconds = mean_sd([run["train_seconds"] for run in made], 0)
    return [*cells, seconds, str(len(made)), f"{made[0]['steps']:,}"]
