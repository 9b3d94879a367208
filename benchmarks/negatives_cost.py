"""What a source of negatives adds to a training step of SimCSE: each beside the plain step, in turns.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/negatives_cost.py --model CHECKPOINT

Killed and started again with the same settings, it goes on where it stopped.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from harness import (
    CHECKPOINT,
    RESULTS,
    Checkpoint,
    Measurement,
    Results,
    SentencesFile,
    model_name,
    one_gpu,
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
from sentence_training import default_data, sentences_file

POOL = 4096
TARGETS = {"ace_exact": 1.10, "ace_exact_fresh": 1.35}


def sources(batch_size: int) -> dict[str, list[Any]]:
    """What stands under `negatives:`, by name; the first is what the others are measured against."""
    fresh = batch_size // 4
    return {
        "in_batch": ["in_batch"],
        "queue": ["in_batch", "queue"],
        "self_adversarial": ["in_batch", {"name": "self_adversarial", "part": "queue"}],
        "random_fresh": ["in_batch", {"name": "uniform", "k": fresh, "fresh": True}],
        "ace_exact": ["in_batch", {"name": "adversarial"}],
        "ace_exact_fresh": ["in_batch", {"name": "adversarial", "fresh": fresh}],
        "ace_reinforce": ["in_batch", {"name": "adversarial", "estimator": "reinforce"}],
    }


def main(
    model: Checkpoint = CHECKPOINT,
    data: SentencesFile = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch_size: Annotated[int, typer.Option(min=4, help="Rows a step; a quarter of it is encoded anew.")] = 64,
    max_length: Annotated[int, typer.Option(min=3, help="Tokens a sentence.")] = 32,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed.")] = 12,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before them.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each source.")] = 5,
    only: Annotated[list[str] | None, typer.Option(help="Repeatable; in_batch is always measured.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Default: benchmarks/results/negatives_cost_DEVICE.json.")
    ] = None,
) -> None:
    """Measure, print the table, write the JSON."""
    settings = {
        "model": model,
        "data": str(data or default_data()),
        "device": device,
        "batch_size": batch_size,
        "max_length": max_length,
        "steps": steps,
        "warmup": warmup,
        "bf16": True,
        "chunk_size": 32 if device == "cpu" else None,
        "bank_size": POOL,
    }
    named = {**settings, "model": model_name(model)}
    results = Results(output or RESULTS / f"negatives_cost_{device}.json", named, ["accelerate"], summarise)
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
    chosen = {
        name: negatives
        for name, negatives in sources(settings["batch_size"]).items()
        if only is None or name in ("in_batch", *only)
    }
    job = {key: value for key, value in settings.items() if key != "bank_size"}
    needed = settings["batch_size"] * (settings["warmup"] + settings["steps"])
    with sentences_file(settings["data"], needed, "--steps or --batch-size") as data:

        def measure(key: dict[str, Any]) -> Measurement:
            overrides = {"negatives": json.dumps(chosen[key["source"]]), "bank_size": settings["bank_size"]}
            arguments = {**job, "data": str(data), "contestant": "ours", "overrides": overrides}
            return run(Path(__file__).with_name("contestant.py"), arguments, one_gpu())

        take_turns(results, turns(round=range(rounds), source=chosen), measure)


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Median step of each source, and its ratio to the plain step of the same round."""
    steps: dict[str, dict[int, float]] = {}
    for measurement in measurements:
        steps.setdefault(measurement["source"], {})[measurement["round"]] = measurement["step_seconds"]["median"]
    plain = steps.get("in_batch", {})
    summary: dict[str, Any] = {}
    for name, made in steps.items():
        summary[name] = {"step_seconds": spread(list(made.values()))}
        ratios = same_round(made, plain)
        if name != "in_batch" and ratios:
            summary[name] |= {"ratio": spread(ratios), "target": TARGETS.get(name)}
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "seconds a step", "to the plain step", "target", title="what a source of negatives costs")
    for name, figures in summary.items():
        ratio = plus_minus(figures["ratio"], 3) if "ratio" in figures else ""
        target = f"{figures['target']:.2f}" if figures.get("target") else ""
        table.add_row(name, plus_minus(figures["step_seconds"], 3), ratio, target)
    Console().print(table)


if __name__ == "__main__":
    start(main)
