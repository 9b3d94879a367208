"""Skip-gram with negative sampling against gensim: words a second and word similarity, in turns, on one corpus.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/word2vec.py

Both train the same running words (the same vocabulary, d = 100, window 5, K = 5, subsampling 1e-4) for the same
epochs, each in a process of its own with the same number of threads. Killed and started again, it goes on.
"""

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

from hf_contrastive.recipe import load_recipe

RECIPE = ROOT / "recipes" / "words" / "skip-gram.yaml"
CONTESTANTS = ("ours", "gensim")
SETS = ("WS-353", "SimLex-999", "RW")


def main(
    epochs: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 1 and 5.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each contestant.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch, workers of gensim.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda; gensim has no other than cpu.")] = "cpu",
    max_rows: Annotated[int | None, typer.Option(help="Only the first lines of the corpus.")] = None,
    chunks: Annotated[int, typer.Option(help="Chunks of 512 words a step of ours.")] = 32,
    output: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/word2vec_DEVICE.json.")] = None,
) -> None:
    """Measure, print the table, write the JSON."""
    settings = {
        "train_data": load_recipe(RECIPE).data.train_data,
        "max_rows": max_rows,
        "threads": threads,
        "device": device,
        "chunks": chunks,
    }
    packages = ["accelerate", "gensim"]
    results = Results(output or RESULTS / f"word2vec_{device}.json", settings, packages, summarise)
    compare(results, settings, epochs or [1, 5], rounds)
    show(results.summary)


def compare(
    results: Results,
    settings: dict[str, Any],
    epochs: list[int],
    rounds: int,
    run: Callable[..., Measurement] = run_child,
) -> None:
    """Make the measurements that `results` lack, in turns."""
    every = turns(epochs=epochs, round=range(rounds), contestant=CONTESTANTS)
    script = Path(__file__).with_name("word2vec_contestant.py")
    variables = {"OMP_NUM_THREADS": str(settings["threads"])}
    take_turns(results, every, lambda key: run(script, {**settings, **key, "seed": 42 + key["round"]}, variables))


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Words a second, seconds and scores by contestant and epochs, and our rate over gensim's of the same round."""
    summary: dict[str, Any] = {}
    for count in sorted({measurement["epochs"] for measurement in measurements}):
        made = {
            name: {m["round"]: m for m in measurements if m["epochs"] == count and m["contestant"] == name}
            for name in CONTESTANTS
        }
        part: dict[str, Any] = {}
        for name, rounds in made.items():
            if rounds:
                part[name] = {
                    key: spread([m[key] for m in rounds.values()]) for key in ("words_per_second", "seconds")
                }
                part[name]["scores"] = {key: spread([m["scores"][key] for m in rounds.values()]) for key in SETS}
        ours, peer = ({turn: m["words_per_second"] for turn, m in made[name].items()} for name in CONTESTANTS)
        if ratios := same_round(ours, peer):
            part["ratio"] = spread(ratios)
        summary[str(count)] = part
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("epochs", "", "words/s", "seconds", *SETS, title="skip-gram, negative sampling")
    for count, part in summary.items():
        for name in CONTESTANTS:
            if name in part:
                figures = part[name]
                scores = [f"{100 * figures['scores'][key]['mean']:.1f}" for key in SETS]
                rate, seconds = plus_minus(figures["words_per_second"], 0), f"{figures['seconds']['mean']:.0f}"
                table.add_row(count, name, rate, seconds, *scores)
        if "ratio" in part:
            table.add_row(count, "ratio", plus_minus(part["ratio"], 2), "")
    Console().print(table)


if __name__ == "__main__":
    start(main)
