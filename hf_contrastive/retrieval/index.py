"""FAISS over unit vectors: inner product, exact, by inverted lists (IVF) or along a graph (HNSW)."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_contrastive.errors import RecipeError
from hf_contrastive.files import whole_file

logger = logging.getLogger(__name__)

EXACT_UP_TO = 50_000  # candidates that `auto` still compares one by one
_TRAIN_PER_LIST = 64  # of FAISS's advice, 39 to 256
_ITERATIONS = 10
_SEED = 0
_LINKS = 32  # of a vector in the graph: M of Malkov and Yashunin, arXiv 1603.09320
_BUILD_BREADTH = 200  # their efConstruction
_BLOCK = 8192


def load_faiss() -> Any:
    """The module `faiss`.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise RecipeError("this needs FAISS; pip install 'hf-contrastive[faiss]'") from error
    return faiss


def resolve_index(kind: str, count: int) -> str:
    """`flat` or `ivf`: what `auto` means for that many candidates."""
    return kind if kind != "auto" else ("flat" if count <= EXACT_UP_TO else "ivf")


def number_of_lists(count: int) -> int:
    """About 4 sqrt(N) lists, fewer where they would have less than 39 members, which FAISS warns of."""
    return max(1, min(round(4 * math.sqrt(count)), count // 39))


def train_centroids(look_up: Callable[[np.ndarray], np.ndarray], candidates: np.ndarray, progress: bool) -> np.ndarray:
    """Centres of the lists by spherical k-means on a sample; the same sample and start every time.

    Args:
        look_up: ids to unit vectors.
        candidates: [C], ids.

    Returns:
        float32 [lists, D].
    """
    lists = number_of_lists(len(candidates))
    size = min(len(candidates), lists * _TRAIN_PER_LIST)
    sample = np.sort(np.random.default_rng(_SEED).choice(candidates, size, replace=False))
    logger.info("k-means: %s lists on %s of %s candidates", f"{lists:,}", f"{size:,}", f"{len(candidates):,}")
    vectors = look_up(sample)
    means = load_faiss().Kmeans(vectors.shape[1], lists, niter=1, seed=_SEED, spherical=True)
    means.train(vectors)
    for _ in tqdm(range(1, _ITERATIONS), desc="k-means", unit="rounds", disable=not progress):
        means.train(vectors, init_centroids=means.centroids.copy())
    return means.centroids


class NeighbourIndex:
    """Nearest candidates by cosine.

    Args:
        look_up: ids to unit vectors.
        candidates: [C], ids.
        centroids: [lists, D] of `train_centroids`: search in inverted lists.
        graph: search along a graph (HNSW); with neither, every candidate is compared.
        stored: file that `save` wrote of the same candidates: nothing is built.

    Raises:
        RecipeError: FAISS is not installed, or `stored` holds other vectors or is damaged.
    """

    def __init__(
        self,
        look_up: Callable[[np.ndarray], np.ndarray],
        candidates: np.ndarray,
        centroids: np.ndarray | None = None,
        progress: bool = False,
        graph: bool = False,
        stored: Path | None = None,
    ) -> None:
        self._faiss = load_faiss()
        self.candidates = candidates
        self.graph = graph
        width = look_up(candidates[:1]).shape[1]
        if stored is not None:
            self._index = self._read(stored, width)
            self.lists = getattr(self._index, "nlist", 1)
            return
        self.lists = 1 if centroids is None else len(centroids)
        self._index = self._empty(width, centroids)
        with tqdm(total=len(candidates), desc="index", unit="sentences", disable=not progress) as bar:
            for start in range(0, len(candidates), _BLOCK):
                block = candidates[start : start + _BLOCK]
                self._index.add(look_up(block))
                bar.update(len(block))

    def _empty(self, width: int, centroids: np.ndarray | None) -> Any:
        if self.graph:
            index = self._faiss.IndexHNSWFlat(width, _LINKS, self._faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = _BUILD_BREADTH
            return index
        index = self._faiss.IndexFlatIP(width)
        if centroids is not None:
            index.add(centroids)
            index = self._faiss.IndexIVFFlat(index, width, self.lists, self._faiss.METRIC_INNER_PRODUCT)
            index.train(centroids)  # the centroids are there: this only marks it as trained
        return index

    def _read(self, stored: Path, width: int) -> Any:
        remedy = "delete it to build it anew"
        try:
            index = self._faiss.read_index(str(stored))
        except RuntimeError as error:
            raise RecipeError(f"{stored}: no index that FAISS can read; {remedy}") from error
        if (index.ntotal, index.d) != (len(self.candidates), width):
            raise RecipeError(
                f"{stored}: {index.ntotal:,} vectors of {index.d} numbers, where there are {len(self.candidates):,} "
                f"of {width}; {remedy}"
            )
        return index

    def save(self, path: Path) -> None:
        """Write the index in FAISS's own format."""
        with whole_file(path) as partial:
            self._faiss.write_index(self._index, str(partial))

    def search(self, queries: np.ndarray, depth: int, lists: int, breadth: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The nearest candidates of each query.

        Args:
            queries: unit vectors float32 [B, D].
            depth: F, candidates a query.
            lists: lists looked into, where there are any.
            breadth: candidates that stay open on the way through the graph (efSearch), where there is one; at least F.

        Returns:
            ids int64 [B, F] and cosines float32 [B, F], nearest first; -1 where fewer were found.
        """
        options = {}
        if self.graph:
            options = {"params": self._faiss.SearchParametersHNSW(efSearch=max(depth, breadth))}
        elif self.lists > 1:
            options = {"params": self._faiss.SearchParametersIVF(nprobe=lists)}
        scores, rows = self._index.search(queries, depth, **options)
        return np.where(rows >= 0, self.candidates[rows], -1), scores
