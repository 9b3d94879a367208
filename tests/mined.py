"""Small data to mine, random vectors of its texts, and a search of them."""

from pathlib import Path

import numpy as np
from accelerate import PartialState
from datasets import Dataset

from hf_contrastive.mining import Rules
from hf_contrastive.mining.corpus import Corpus
from hf_contrastive.mining.search import Results, search_missing
from hf_contrastive.retrieval.vectors import Vectors

WIDTH = 8
RANKS = PartialState(cpu=True)


def stored(folder: Path, corpus: Corpus, raw: np.ndarray | None = None, shard_size: int = 7) -> Vectors:
    """Random unit vectors of all distinct texts, in shards."""
    count = len(corpus.places)
    raw = np.random.default_rng(1).normal(size=(count, WIDTH)) if raw is None else raw
    raw = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    vectors = Vectors(folder / "vectors", count, raw.shape[1], shard_size)
    for number in range(len(vectors.shards)):
        vectors.write(number, raw[vectors.shards.span(number)])
    return vectors


def run(folder: Path, corpus: Corpus, vectors: Vectors, rules: Rules, kind: str = "flat", nprobe: int = 32) -> Results:
    results = Results(folder / "search", len(corpus.anchors), rules.k, 11)
    search_missing(corpus, vectors, results, rules, kind, nprobe, RANKS)
    return results


def joined(results: Results) -> dict[str, np.ndarray]:
    shards = [results.read(number) for number in range(len(results.shards))]
    parts = {name: np.concatenate([shard[name] for shard in shards]) for name in ("ids", "scores", "positive_scores")}
    return parts | {"dropped": sum(shard["dropped"] for shard in shards)}


def pairs_with_duplicates(rows: int = 60) -> Dataset:
    """Anchors with several positives, positives that are anchors elsewhere, texts that differ in outer spaces."""
    rng = np.random.default_rng(0)
    anchors = [f"anchor {rng.integers(40)}" for _ in range(rows)]
    positives = [f"{' ' * int(rng.integers(2))}positive {rng.integers(40)}" for _ in range(rows)]
    anchors[5:9] = positives[10:14]
    positives[20:24] = anchors[10:14]  # with these, candidates whose own positive the anchor is
    return Dataset.from_dict({"anchor": anchors, "positive": positives})


def sentences(rows: int = 60) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset.from_dict(
        {"anchor": [f"sentence {rng.integers(45)}{' ' * int(rng.integers(2))}" for _ in range(rows)]}
    )
