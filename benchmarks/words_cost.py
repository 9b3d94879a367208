"""What an estimator costs a training step of skip-gram: each beside batch-shared negative sampling, in turns.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/words_cost.py

Killed and started again with the same settings, it goes on where it stopped.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from harness import (
    RESULTS,
    ROOT,
    Measurement,
    Results,
    plus_minus,
    run_child,
    same_round,
    spread,
    start,
    take_turns,
    turns,
)
from rich.console import Console
from rich.table import Table
from words_study import ACE, NEIGHBOURS, NOISE, SOURCES

from hf_contrastive.recipe import load_recipe

RECIPE = ROOT / "recipes" / "words" / "skip-gram.yaml"
PER_PAIR = {"negatives": json.dumps({"name": "unigram", "k": 5, "shared": False}), "negatives_per_pair": "true"}
# What each has beside the recipe; the first is what the others are measured against.
CONTESTANTS: dict[str, dict[str, str]] = {
    "negative_sampling": {"negatives": json.dumps(NOISE)},
    "neighbours": NEIGHBOURS,
    "per_pair": PER_PAIR,
    "ace": {"negatives": json.dumps(ACE)},
    "ace_every_step": {"negatives": json.dumps({**ACE, "update_every": 1})},
    "self_adversarial": {"negatives": json.dumps(SOURCES["self_adversarial"])},
    "nce": {"objective": "nce", "negatives": json.dumps({"name": "unigram", "k": 128})},
    "hierarchical_softmax": {"objective": "hierarchical_softmax"},
}
TARGETS = {"ace": 1.4}


def main(
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed.")] = 300,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before them.")] = 50,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each estimator.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    only: Annotated[list[str] | None, typer.Option(help="Repeatable; negative_sampling is always measured.")] = None,
    output: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/words_cost_DEVICE.json.")] = None,
) -> None:
    """Measure, print the table, write the JSON."""
    settings = {
        "train_data": load_recipe(RECIPE).data.train_data,
        "max_rows": None,
        "threads": threads,
        "device": device,
        "chunks": 8,
        "steps": steps,
        "warmup": warmup,
    }
    results = Results(output or RESULTS / f"words_cost_{device}.json", settings, ["accelerate"], summarise)
    compare(results, settings, rounds, only)
    show(results.summary)


def compare(
    results: Results,
    settings: dict[str, Any],
    rounds: int,
    only: list[str] | None = None,
    run: Callable[..., Measurement] = run_child,
) -> None:
    """Make the measurements that `results` lack, in turns."""
    chosen = [name for name in CONTESTANTS if only is None or name in ("negative_sampling", *only)]
    script = Path(__file__).with_name("word2vec_contestant.py")
    variables = {"OMP_NUM_THREADS": str(settings["threads"])}

    def measure(key: dict[str, Any]) -> Measurement:
        overrides = {"words_per_draw": "0", **CONTESTANTS[key["estimator"]]}
        job = {**settings, "contestant": "steps", "epochs": 1, "seed": 42, "overrides": overrides}
        return run(script, job, variables)

    take_turns(results, turns(round=range(rounds), estimator=chosen), measure)


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Mean step of each estimator, and its ratio to batch-shared negative sampling of the same round."""
    steps: dict[str, dict[int, float]] = {}
    for measurement in measurements:
        steps.setdefault(measurement["estimator"], {})[measurement["round"]] = measurement["step_seconds"]
    plain = steps.get("negative_sampling", {})
    summary: dict[str, Any] = {}
    for name, made in steps.items():
        summary[name] = {"step_seconds": spread(list(made.values())), "target": TARGETS.get(name)}
        ratios = same_round(made, plain)
        if name != "negative_sampling" and ratios:
            summary[name]["ratio"] = spread(ratios)
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "ms a step", "to batch-shared", "target", title="steps of 4,096 words")
    for name, figures in summary.items():
        ratio = plus_minus(figures["ratio"], 2) if "ratio" in figures else ""
        table.add_row(name, plus_minus(figures["step_seconds"], 1, 1000), ratio, str(figures["target"] or ""))
    Console().print(table)


if __name__ == "__main__":
    start(main)
