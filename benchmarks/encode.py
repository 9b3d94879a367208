"""Speed: `hf-contrastive encode` against `SentenceTransformer.encode`, same model, same precision, in turns.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/encode.py --model CHECKPOINT

Ours is the whole command: reading and checking the file, encoding in shards, writing the vectors. Of the peer only the
call of `encode` is timed, with the sentences in memory. Each measurement has a process of its own. Killed and started
again with the same settings, it goes on where it stopped. The vectors of up to 1,000 rows are compared in every round.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
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
    spread,
    start,
    take_turns,
    turns,
)
from rich.console import Console
from rich.table import Table
from sentence_training import check_device, default_data, sentences_file

from hf_contrastive.errors import RecipeError

CONTESTANTS = ("ours", "peer")
LABELS = {"ours": "hf-contrastive encode", "peer": "SentenceTransformer.encode"}
TARGET = 1.2  # ours over the peer, on CPU


def main(
    model: Checkpoint = CHECKPOINT,
    data: SentencesFile = None,
    rows: Annotated[int, typer.Option(min=0, help="Sentences, the first of the file; 0: all.")] = 8192,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 2,
    max_length: Annotated[int, typer.Option(min=3, help="Tokens a sentence.")] = 128,
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="Of ours; default: the command's own.")] = None,
    peer_batch_size: Annotated[int, typer.Option(min=1, help="Sentences a batch of the peer; 32 is its own.")] = 32,
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast, for both.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each contestant.")] = 3,
    output: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/encode_DEVICE.json.")] = None,
) -> None:
    """Measure, print the table, write the JSON."""
    check_device(device)
    settings = {
        "model": model,
        "data": str(data or default_data()),
        "rows": rows,
        "device": device,
        "threads": threads,
        "max_length": max_length,
        "batch_tokens": batch_tokens,
        "peer_batch_size": peer_batch_size,
        "bf16": bf16,
    }
    named = {**settings, "model": model_name(model)}
    output = output or RESULTS / f"encode_{device}.json"
    results = Results(output, named, ["sentence-transformers"], summarise)
    compare(results, settings, rounds)
    show(results.summary)


def compare(
    results: Results, settings: dict[str, Any], rounds: int, run: Callable[..., Measurement] = run_child
) -> None:
    """Make the measurements that `results` lack, in turns.

    A round's vectors of the rows compared wait in a folder beside the JSON until both contestants have theirs.
    """
    probes = results.path.with_suffix(".probes")
    with sentences_file(settings["data"], settings["rows"] or None, "--rows, or give 0 for all") as data:

        def measure(key: dict[str, Any]) -> Measurement:
            probes.mkdir(parents=True, exist_ok=True)
            files = {name: probes / f"{key['round']}-{name}.npy" for name in CONTESTANTS}
            variables = {
                **one_gpu(),
                "OMP_NUM_THREADS": str(settings["threads"]),
                # Read anew by every process: nothing is found that an earlier one cached.
                "HF_DATASETS_CACHE": str(data.with_name(f"cache-{key['round']}")),
            }
            contestant = key["contestant"]
            job = {**settings, "data": str(data), "contestant": contestant, "probes": str(files[contestant])}
            made = run(Path(__file__).with_name("encode_contestant.py"), job, variables)
            return made if contestant == "ours" else {**made, **compared(*files.values())}

        take_turns(results, turns(round=range(rounds), contestant=CONTESTANTS), measure)
    shutil.rmtree(probes, ignore_errors=True)


def compared(ours: Path, peer: Path) -> Measurement:
    """How far the vectors [N, D] of one round are apart.

    Raises:
        RecipeError: ours, measured before a kill, are no longer there.
    """
    if not ours.is_file():
        raise RecipeError(f"{ours}: not there, so this round cannot be compared; delete the JSON and measure anew")
    own, theirs = np.load(ours, allow_pickle=False), np.load(peer, allow_pickle=False)
    return {"rows_compared": len(own), "largest_difference": float(np.abs(own - theirs).max())}


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Each contestant's rate, ours over the peer's round by round, and how far their vectors are apart."""
    made = {name: {m["round"]: m for m in measurements if m["contestant"] == name} for name in CONTESTANTS}
    summary: dict[str, Any] = {
        name: {key: spread([m[key] for m in rounds.values()]) for key in ("sentences_per_second", "seconds")}
        for name, rounds in made.items()
        if rounds
    }
    both = sorted(made["ours"].keys() & made["peer"].keys())
    if both:
        ours, peers = ([made[name][turn] for turn in both] for name in CONTESTANTS)
        pairs = list(zip(ours, peers, strict=True))
        summary["ratio"] = spread([own["sentences_per_second"] / peer["sentences_per_second"] for own, peer in pairs])
        summary["target"] = TARGET
        summary["rows"] = ours[0]["rows"]
        summary["rows_compared"] = min(peer["rows_compared"] for peer in peers)
        # Not by max: it would pass over a difference that is not a number.
        summary["largest_difference"] = float(np.max([peer["largest_difference"] for peer in peers]))
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "sentences/s", "min - max", "seconds", title="encoding")
    for name in CONTESTANTS:
        if name in summary:
            rate, seconds = summary[name]["sentences_per_second"], summary[name]["seconds"]
            table.add_row(
                LABELS[name],
                plus_minus(rate, 1),
                f"{rate['min']:.1f} - {rate['max']:.1f}",
                f"{seconds['mean']:.1f}",
            )
    console = Console()
    console.print(table)
    if "ratio" in summary:
        console.print(
            f"ours / peer: {plus_minus(summary['ratio'], 2)} (target on CPU {summary['target']}); "
            f"vectors differ by {summary['largest_difference']:.1e} at most in {summary['rows_compared']:,} of "
            f"{summary['rows']:,} rows",
            highlight=False,
        )


if __name__ == "__main__":
    start(main)
