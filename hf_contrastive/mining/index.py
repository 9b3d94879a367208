"""FAISS over unit vectors: inner product, exact or by inverted lists (IVF)."""

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hf_contrastive.errors import RecipeError

logger = logging.getLogger(__name__)

EXACT_UP_TO = 50_000  # candidates that `auto` still compares one by one
_TRAIN_PER_LIST = 64  # of FAISS's advice, 39 to 256
_ITERATIONS = 10
_SEED = 0
_BLOCK = 8192


def load_faiss() -> Any:
    """The module `faiss`.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise RecipeError("mine: needs FAISS; pip install 'hf-contrastive[faiss]'") from error
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
        centroids: [lists, D] of `train_centroids`; None compares with every candidate.
    """

    def __init__(
        self,
        look_up: Callable[[np.ndarray], np.ndarray],
        candidates: np.ndarray,
        centroids: np.ndarray | None = None,
        progress: bool = False,
    ) -> None:
        faiss = load_faiss()
        self._faiss = faiss
        self.candidates = candidates
        width = look_up(candidates[:1]).shape[1]
        self.lists = 1 if centroids is None else len(centroids)
        self._index = faiss.IndexFlatIP(width)
        if centroids is not None:
            self._index.add(centroids)
            self._index = faiss.IndexIVFFlat(self._index, width, self.lists, faiss.METRIC_INNER_PRODUCT)
            self._index.train(centroids)  # the centroids are there: this only marks it as trained
        with tqdm(total=len(candidates), desc="index", unit="sentences", disable=not progress) as bar:
            for start in range(0, len(candidates), _BLOCK):
                block = candidates[start : start + _BLOCK]
                self._index.add(look_up(block))
                bar.update(len(block))

    def search(self, queries: np.ndarray, depth: int, lists: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest candidates of each query.

        Args:
            queries: unit vectors float32 [B, D].
            depth: F, candidates a query.
            lists: lists looked into, where there are any.

        Returns:
            ids int64 [B, F] and cosines float32 [B, F]; -1 where the lists hold fewer.
        """
        options = {}
        if self.lists > 1:
            options = {"params": self._faiss.SearchParametersIVF(nprobe=lists)}
        scores, rows = self._index.search(queries, depth, **options)
        return np.where(rows >= 0, self.candidates[rows], -1), scores
