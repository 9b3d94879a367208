"""What a batch far beyond memory costs when it is encoded in chunks, and what the loss alone costs; on CPU.

    python benchmarks/memory.py --model CHECKPOINT

Killed and started again with the same settings, it goes on where it stopped.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from harness import CHECKPOINT, RESULTS, Checkpoint, Measurement, Results, model_name, run_child, start, take_turns
from rich.console import Console
from rich.table import Table

TARGET_BYTES = {"batch float32": 1_500_000_000, "batch bf16": 1_500_000_000, "loss": 300_000_000}
WIDTH = 768


def main(
    model: Checkpoint = CHECKPOINT,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs in a batch; twice as many sentences.")] = 4096,
    max_length: Annotated[int, typer.Option(min=3, help="Tokens of every sentence.")] = 32,
    chunk_size: Annotated[int, typer.Option(min=1, help="Sentences encoded at a time.")] = 64,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "memory_cpu.json",
) -> None:
    """Measure, print the table, write the JSON."""
    settings = {"model": model, "batch_size": batch_size, "max_length": max_length, "chunk_size": chunk_size}
    named = {**settings, "model": model_name(model), "width": WIDTH}
    results = Results(output, named, [], summarise)
    measure(results, settings)
    show(results.summary)


def measure(results: Results, settings: dict[str, Any], run: Callable[..., Measurement] = run_child) -> None:
    """Make the measurements that `results` lack."""
    jobs = {
        "batch bf16": {"what": "batch", **settings, "recompute": True, "bf16": True},
        "batch float32": {"what": "batch", **settings, "recompute": True, "bf16": False},
        "loss": {"what": "loss", "batch_size": settings["batch_size"], "width": WIDTH},
    }
    # Each batch as the Trainer runs it; the loss in both ways, since it runs in both.
    order = [("loss", "return"), ("loss", "keep"), ("batch bf16", "return"), ("batch float32", "return")]
    script = Path(__file__).with_name("footprint.py")
    keys = [{"step": step, "allocator": allocator} for step, allocator in order]
    take_turns(results, keys, lambda key: run(script, {**jobs[key["step"]], "allocator": key["allocator"]}))


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Extra bytes of each step by allocator (see `footprint.py`), beside its target."""
    summary: dict[str, Any] = {}
    for m in measurements:
        summary.setdefault(m["step"], {"target": TARGET_BYTES[m["step"]]})[m["allocator"]] = m["extra_bytes"]
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(
        "forward and backward", "freed memory returned", "kept", "target", title="beyond weights and gradients"
    )
    for step, figures in summary.items():
        cells = (f"{figures[key] / 1e6:,.0f} MB" if key in figures else "-" for key in ("return", "keep", "target"))
        table.add_row(step, *cells)
    Console().print(table)


if __name__ == "__main__":
    start(main)
