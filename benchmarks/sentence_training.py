"""How fast and in how much memory sentences are trained, here and by sentence-transformers' own trainer.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/sentence_training.py --model CHECKPOINT

The contestants take turns (A B A B ...), each in a fresh process, so that what else the machine does hits them alike.
Killed and started again with the same settings, it goes on where it stopped.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch
import typer
from contestant import CONTESTANTS
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

from hf_contrastive.data.files import read_rows
from hf_contrastive.errors import DataError, RecipeError

LABELS = {
    "ours": "hf_contrastive",
    "peer": "sentence-transformers",
    "peer_allocator": "the same, our allocator",
}


def main(
    model: Checkpoint = CHECKPOINT,
    data: SentencesFile = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch_size: Annotated[int, typer.Option(min=2, help="Rows a step.")] = 64,
    max_length: Annotated[int, typer.Option(min=3, help="Tokens a sentence.")] = 32,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed.")] = 12,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before them.")] = 3,
    pairs: Annotated[int, typer.Option(min=1, help="Measurements of each contestant.")] = 5,
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast, as the recipes train.")] = True,
    chunk_size: Annotated[
        int | None,
        typer.Option(min=0, help="Sentences ours encodes at a time, 0: all; default: 32 on cpu, all on cuda."),
    ] = None,
    peer_allocator: Annotated[
        bool, typer.Option(help="Measure the peer under our allocator settings too: how much of the gain they are.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Default: benchmarks/results/sentence_training_DEVICE.json.")
    ] = None,
) -> None:
    """Measure, print the table, write the JSON."""
    check_device(device)
    if chunk_size is None:
        chunk_size = 32 if device == "cpu" else 0
    settings = {
        "model": model,
        "data": str(data or default_data()),
        "device": device,
        "batch_size": batch_size,
        "max_length": max_length,
        "steps": steps,
        "warmup": warmup,
        "bf16": bf16,
        "chunk_size": chunk_size or None,
    }
    output = output or RESULTS / f"sentence_training_{device}.json"
    named = {**settings, "model": model_name(model)}
    results = Results(output, named, ["sentence-transformers", "accelerate"], summarise)
    compare(results, settings, pairs, CONTESTANTS if peer_allocator else CONTESTANTS[:2])
    show(results.summary)


def check_device(device: str) -> None:
    """Raise `RecipeError` unless it is `cpu`, or `cuda` and there."""
    if device not in ("cpu", "cuda"):
        raise RecipeError(f"--device: unknown device {device!r}; choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("--device cuda: torch sees no GPU; measure with --device cpu")


def default_data() -> Path:
    """English Wikipedia behind `HF_CONTRASTIVE_DATA`."""
    if not os.environ.get("HF_CONTRASTIVE_DATA"):
        raise RecipeError("--data: not given, and HF_CONTRASTIVE_DATA is not set; give a text file, a sentence a line")
    return Path(os.environ["HF_CONTRASTIVE_DATA"]) / "sentences" / "wiki_en.txt.gz"


def compare(
    results: Results,
    settings: dict[str, Any],
    pairs: int,
    contestants: Sequence[str],
    run: Callable[..., Measurement] = run_child,
) -> None:
    """Make the measurements that `results` lack, in turns."""
    needed = settings["batch_size"] * (settings["warmup"] + settings["steps"])
    with sentences_file(settings["data"], needed, "--steps or --batch-size") as data:

        def measure(key: dict[str, Any]) -> Measurement:
            # Tokenised anew by every process: nothing is found that an earlier one cached.
            variables = {**one_gpu(), "HF_DATASETS_CACHE": str(data.with_name(f"cache-{key['pair']}"))}
            job = {**settings, "data": str(data), "contestant": key["contestant"]}
            return run(Path(__file__).with_name("contestant.py"), job, variables)

        take_turns(results, turns(pair=range(pairs), contestant=contestants), measure)


@contextmanager
def sentences_file(path: str, count: int | None, option: str) -> Iterator[Path]:
    """A file with the first lines of another, in a folder of its own that is there for as long.

    Arguments and errors are those of `first_sentences`.
    """
    with tempfile.TemporaryDirectory() as folder:
        sentences = Path(folder) / "sentences.txt"
        lines = first_sentences(path, count, option)
        sentences.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        yield sentences


def first_sentences(path: str, count: int | None, option: str) -> list[str]:
    """The first lines of a text file; blank ones are no sentences.

    Args:
        path: packed or not.
        count: lines; `None`: all.
        option: of the command line, what to lower where there are fewer.

    Raises:
        DataError: fewer than `count` lines.
    """
    lines = [cells["text"] for _, cells in itertools.islice(read_rows(Path(path), ["text"]), count)]
    if count is not None and len(lines) < count:
        raise DataError(f"{path}: {len(lines):,} lines are fewer than the {count:,} asked for; lower {option}")
    return lines


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Each contestant's speed and memory, and the ratio of ours to each peer, pair by pair."""
    by_name: dict[str, dict[int, Measurement]] = {}
    for measurement in measurements:
        by_name.setdefault(measurement["contestant"], {})[measurement["pair"]] = measurement
    contestants = {}
    for name, made in by_name.items():
        memory = [peak_bytes(m) for m in made.values()]
        contestants[name] = {
            "measurements": len(made),
            "sentences_per_second": spread([m["sentences_per_second"] for m in made.values()]),
            "median_step_seconds": fmean(m["step_seconds"]["median"] for m in made.values()),
            "peak_bytes": spread(memory),
        }
    mine = by_name.get("ours", {})
    against = {}
    for name, made in by_name.items():
        ratios = same_round(*({pair: m["sentences_per_second"] for pair, m in of.items()} for of in (mine, made)))
        if name == "ours" or not ratios:
            continue
        memory_ratio = contestants["ours"]["peak_bytes"]["mean"] / contestants[name]["peak_bytes"]["mean"]
        against[name] = {"speed_ratios": ratios, "speed_ratio": spread(ratios), "peak_memory_ratio": memory_ratio}
    return {"contestants": contestants, "ours_against": against}


def peak_bytes(measurement: Measurement) -> int:
    """Of the GPU where there is one, else of the process."""
    return measurement.get("peak_gpu_bytes", measurement["peak_rss_bytes"])


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "sentences/s", "min - max", "ours / it", "peak memory", title="training, ours and peer")
    for name, figures in summary["contestants"].items():
        speed, against = figures["sentences_per_second"], summary["ours_against"].get(name)
        ratio = plus_minus(against["speed_ratio"], 2) if against else ""
        table.add_row(
            LABELS[name],
            plus_minus(speed, 1),
            f"{speed['min']:.1f} - {speed['max']:.1f}",
            ratio,
            f"{figures['peak_bytes']['mean'] / 1e9:.2f} GB",
        )
    Console().print(table)


if __name__ == "__main__":
    start(main)
