"""Knowledge graph embeddings against PyKEEN: triples a second in training and in filtered evaluation, in turns.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/kg.py

Both train the same model on the same triples with the same dimension, batch, loss and number of negatives a triple,
without constraints and regularisers, each in a process of its own with the same number of threads, and rank the same
test triples. Ours leaves out negatives that are true; PyKEEN's filter is off, which is its default and its fastest.
Killed and started again, it goes on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from harness import RESULTS, Measurement, Results, plus_minus, run_child, same_round, spread, start, take_turns, turns
from rich.console import Console
from rich.table import Table

# Ours with negatives for each triple, as PyKEEN has them, and with as many for all triples of a batch.
CONTESTANTS = ("ours", "ours_shared", "pykeen")
INTERACTIONS = ("transe", "distmult", "complex", "rotate")
PARTS = ("train", "evaluate")
TARGET = 2.0


def main(
    interactions: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(INTERACTIONS)}.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each contestant.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    graph: Annotated[str, typer.Option(help="Folder under ${HF_CONTRASTIVE_DATA}/kg.")] = "FB15k-237",
    dimension: Annotated[int, typer.Option(help="Real numbers an entity.")] = 128,
    batch: Annotated[int, typer.Option(help="Triples a step.")] = 512,
    negatives: Annotated[int, typer.Option(help="Negatives a triple.")] = 32,
    steps: Annotated[int, typer.Option(help="Steps of training that are timed.")] = 100,
    triples: Annotated[int, typer.Option(help="Test triples that are ranked.")] = 4096,
    output: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/kg_DEVICE.json.")] = None,
) -> None:
    """Measure, print the table, write the JSON."""
    settings = {
        "threads": threads,
        "device": device,
        "graph": graph,
        "dimension": dimension,
        "batch": batch,
        "negatives": negatives,
        "steps": steps,
        "triples": triples,
    }
    results = Results(output or RESULTS / f"kg_{device}.json", settings, ["accelerate", "pykeen"], summarise)
    compare(results, settings, interactions or list(INTERACTIONS), rounds)
    show(results.summary)


def compare(
    results: Results,
    settings: dict[str, Any],
    interactions: list[str],
    rounds: int,
    run: Callable[..., Measurement] = run_child,
) -> None:
    """Make the measurements that `results` lack, in turns."""
    every = turns(interaction=interactions, part=PARTS, round=range(rounds), contestant=CONTESTANTS)
    every = [key for key in every if key["part"] == "train" or key["contestant"] != "ours_shared"]
    script, variables = Path(__file__).with_name("kg_contestant.py"), {"OMP_NUM_THREADS": str(settings["threads"])}
    take_turns(results, every, lambda key: run(script, {**settings, **key, "seed": 42 + key["round"]}, variables))


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Triples a second by model, part and contestant, and our rate over PyKEEN's of the same round."""
    rates: dict[str, dict[str, dict[str, dict[int, float]]]] = {}
    for m in measurements:
        of_part = rates.setdefault(m["interaction"], {}).setdefault(m["part"], {})
        of_part.setdefault(m["contestant"], {})[m["round"]] = m["triples_per_second"]
    summary: dict[str, Any] = {}
    for interaction, parts in rates.items():
        for part, made in parts.items():
            figures: dict[str, Any] = {"target": TARGET}
            for name, of_round in made.items():
                figures[name] = {"triples_per_second": spread(list(of_round.values()))}
                ratios = same_round(of_round, made.get("pykeen", {}))
                if name != "pykeen" and ratios:
                    figures[name]["ratio"] = spread(ratios)
            summary.setdefault(interaction, {})[part] = figures
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("model", "", "", "triples/s", "to PyKEEN", title="knowledge graph embeddings")
    for interaction, parts in summary.items():
        for part, figures in parts.items():
            for name in CONTESTANTS:
                if name in figures:
                    ratio = plus_minus(figures[name]["ratio"], 2) if "ratio" in figures[name] else ""
                    table.add_row(interaction, part, name, plus_minus(figures[name]["triples_per_second"], 0), ratio)
    Console().print(table)


if __name__ == "__main__":
    start(main)
