"""Speed: an exported checkpoint in onnxruntime beside torch, same batches, same threads, in turns.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/onnx_encode.py --model CHECKPOINT

The checkpoint is exported by `hf-contrastive onnx`'s own code. Each measurement has a process of its own; loading and
tokenisation are not timed. Killed and started again with the same settings, it goes on where it stopped.
"""

import tempfile
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

from hf_contrastive.errors import CheckpointError
from hf_contrastive.hub.onnx import TOLERANCE, export_onnx
from hf_contrastive.models import SentenceEncoder

CONTESTANTS = ("onnxruntime", "torch")


def main(
    model: Checkpoint = CHECKPOINT,
    data: SentencesFile = None,
    rows: Annotated[int, typer.Option(min=1, help="Sentences, the first of the file.")] = 2048,
    threads: Annotated[int, typer.Option(min=1, help="Of each.")] = 2,
    max_length: Annotated[int, typer.Option(min=3, help="Tokens a sentence.")] = 128,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences a batch.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each contestant.")] = 5,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "onnx_cpu.json",
) -> None:
    """Measure, print the table, write the JSON."""
    settings = {
        "model": model,
        "data": str(data or default_data()),
        "rows": rows,
        "threads": threads,
        "max_length": max_length,
        "batch_size": batch_size,
    }
    named = {**settings, "model": model_name(model)}
    results = Results(output, named, ["onnx", "onnxscript", "onnxruntime"], summarise)
    compare(results, settings, rounds)
    show(results.summary)


def compare(
    results: Results, settings: dict[str, Any], rounds: int, run: Callable[..., Measurement] = run_child
) -> None:
    """Export, and make the measurements that `results` lack, in turns.

    Raises:
        CheckpointError: the model cannot be exported, or its graph differs from torch by more than 1e-4.
    """
    keys = turns(round=range(rounds), contestant=CONTESTANTS)
    if all(results.has(**key) for key in keys):
        return
    with (
        sentences_file(settings["data"], settings["rows"], "--rows") as data,
        tempfile.TemporaryDirectory() as folder,
    ):
        encoder = SentenceEncoder.from_pretrained(settings["model"], max_length=settings["max_length"])
        encoder.save_pretrained(folder)
        export_onnx(Path(folder))

        def measure(key: dict[str, Any]) -> Measurement:
            job = {**settings, "model": folder, "data": str(data), "contestant": key["contestant"]}
            variables = {"OMP_NUM_THREADS": str(settings["threads"])}
            made = run(Path(__file__).with_name("onnx_contestant.py"), job, variables)
            if not made.get("difference", 0.0) <= TOLERANCE:
                raise CheckpointError(
                    f"{settings['model']}: onnxruntime differs from torch by {made['difference']:.1e}, more than "
                    f"{TOLERANCE:.0e}; a speed of other vectors is none"
                )
            return made

        take_turns(results, keys, measure)


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Each contestant's rate, onnxruntime's over torch's round by round, and how far its vectors are from torch's."""
    made = {name: {m["round"]: m for m in measurements if m["contestant"] == name} for name in CONTESTANTS}
    rates = {name: {turn: m["sentences_per_second"] for turn, m in rounds.items()} for name, rounds in made.items()}
    summary: dict[str, Any] = {
        name: {"sentences_per_second": spread(list(rate.values()))} for name, rate in rates.items() if rate
    }
    ratios = same_round(rates["onnxruntime"], rates["torch"])
    if ratios:
        summary["ratio"] = spread(ratios)
    if made["onnxruntime"]:
        summary["largest_difference"] = max(m["difference"] for m in made["onnxruntime"].values())
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "sentences/s", "min - max", title="encoding on CPU")
    for name in CONTESTANTS:
        rate = summary[name]["sentences_per_second"]
        table.add_row(name, plus_minus(rate, 1), f"{rate['min']:.1f} - {rate['max']:.1f}")
    console = Console()
    console.print(table)
    console.print(
        f"onnxruntime / torch: {plus_minus(summary['ratio'], 2)}; vectors differ by "
        f"{summary['largest_difference']:.1e} of their length at most",
        highlight=False,
    )


if __name__ == "__main__":
    start(main)
