"""Negatives of every row, shard by shard; an anchor whose neighbours are mostly dropped is searched deeper."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from accelerate import PartialState
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from tqdm.auto import tqdm

from hf_contrastive.files import whole_file
from hf_contrastive.mining.corpus import Corpus
from hf_contrastive.mining.filters import REASONS, Rules, select
from hf_contrastive.negatives import KnownPairs
from hf_contrastive.retrieval.index import NeighbourIndex, train_centroids
from hf_contrastive.retrieval.vectors import Vectors
from hf_contrastive.retrieval.work import Shards

logger = logging.getLogger(__name__)

DEEPEST = 2048  # neighbours of an anchor that are looked at, unless its first search already asks for more
_GROWTH = 4
_MOST_LISTS = 16  # times nprobe
_BLOCK = 1024  # rows searched at a time


class Results:
    """Negatives of R rows, on the disk.

    A shard holds `ids` and `scores` [n, k], `positive_scores` [n], and `dropped` [len(REASONS)], a count each.

    Args:
        folder: of the shards `00000.safetensors`, ...
        count: R.
        k: negatives a row.
        shard_size: rows a shard.
    """

    def __init__(self, folder: Path, count: int, k: int, shard_size: int) -> None:
        self.shards = Shards(folder, count, shard_size, ".safetensors", self._is_complete)
        self.k = k

    def read(self, number: int) -> dict[str, np.ndarray]:
        """One shard by the names of its parts."""
        return load_file(self.shards.path(number))

    def write(self, number: int, parts: dict[str, np.ndarray]) -> None:
        """Store one shard."""
        with whole_file(self.shards.path(number)) as path:
            save_file({name: np.ascontiguousarray(part) for name, part in parts.items()}, path)

    def _is_complete(self, path: Path, count: int) -> bool:
        try:
            with safe_open(path, framework="numpy") as file:
                return file.get_slice("ids").get_shape() == [count, self.k]
        except (OSError, SafetensorError) as error:
            logger.warning("%s is damaged (%s); searching its rows again", path, error)
            return False


def search_missing(
    corpus: Corpus, vectors: Vectors, results: Results, rules: Rules, kind: str, nprobe: int, ranks: PartialState
) -> None:
    """Find the negatives of the rows whose shards are not there yet; each process takes its share of the shards.

    Args:
        kind: `flat` or `ivf`.
        nprobe: lists the first search looks into.
    """
    missing = results.shards.missing(ranks)
    if not missing:
        return
    centroids = _centroids(corpus, vectors, results.shards.folder, ranks) if kind == "ivf" else None
    share = missing[ranks.process_index :: ranks.num_processes]
    if share:
        index = NeighbourIndex(vectors.__getitem__, corpus.candidates, centroids, ranks.is_main_process)
        known = corpus.known_pairs()
        total = sum(len(results.shards.span(number)) for number in share)
        with tqdm(total=total, unit="anchors", desc="search", disable=not ranks.is_main_process) as bar:
            for number in share:
                span = results.shards.span(number)
                blocks = []
                for start in range(span.start, span.stop, _BLOCK):
                    rows = np.arange(start, min(start + _BLOCK, span.stop))
                    blocks.append(mine_rows(corpus, rows, vectors, index, known, rules, nprobe))
                    bar.update(len(rows))
                parts = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
                results.write(number, parts | {"dropped": parts["dropped"].sum(0)})
    ranks.wait_for_everyone()


def mine_rows(
    corpus: Corpus,
    rows: np.ndarray,
    vectors: Vectors,
    index: NeighbourIndex,
    known: KnownPairs,
    rules: Rules,
    nprobe: int,
) -> dict[str, np.ndarray]:
    """The parts of `Results` for B rows, `dropped` [B, len(REASONS)] row by row."""
    anchors, positives = corpus.anchors[rows], corpus.positives[rows]
    queries = vectors[anchors]
    # A sentence that is its own positive has the cosine 1 with it, whatever float32 makes of that.
    positive_scores = (
        np.ones(len(rows), dtype=np.float32)
        if corpus.plain
        else np.einsum("bd,bd->b", queries, vectors[positives]).astype(np.float32)
    )
    out = {
        "ids": np.full((len(rows), rules.k), -1, dtype=np.int64),
        "scores": np.zeros((len(rows), rules.k), dtype=np.float32),
        "positive_scores": positive_scores,
        "dropped": np.zeros((len(rows), len(REASONS)), dtype=np.int64),
    }
    open_rows = np.arange(len(rows))
    for depth, lists in rounds(rules, len(corpus.candidates), nprobe, index.lists):
        ids, scores = index.search(queries[open_rows], depth, lists)
        found = select(ids, scores, anchors[open_rows], positives[open_rows], positive_scores[open_rows], known, rules)
        for name in ("ids", "scores", "dropped"):
            out[name][open_rows] = getattr(found, name)
        open_rows = open_rows[~found.done]
        if not len(open_rows):
            break
    return out


def rounds(rules: Rules, candidates: int, nprobe: int, lists: int) -> Iterator[tuple[int, int]]:
    """Neighbours and lists of the first search, then of each deeper one for what is still short of negatives."""
    first = rules.range_min + 2 * rules.k + 10  # room for known positives and what the filters drop
    if rules.range_max is not None:
        first = min(first, rules.range_max + 10)
    deepest, most = min(candidates, max(DEEPEST, first)), min(lists, _MOST_LISTS * nprobe)
    depth, probes = min(first, deepest), min(nprobe, lists)
    yield depth, probes
    while depth < deepest or probes < most:
        depth, probes = min(_GROWTH * depth, deepest), min(_GROWTH * probes, most)
        yield depth, probes


def _centroids(corpus: Corpus, vectors: Vectors, folder: Path, ranks: PartialState) -> np.ndarray:
    """Trained once by the main process: all search in the same lists, and so does a resumed run."""
    path = folder / "centroids.npy"
    if ranks.is_main_process and not path.is_file():
        centroids = train_centroids(vectors.__getitem__, corpus.candidates, progress=True)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.save(file, centroids, allow_pickle=False)
    ranks.wait_for_everyone()
    return np.load(path, allow_pickle=False)
