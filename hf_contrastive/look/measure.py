"""What is measured of one model, on sentence pairs with a human score."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hf_contrastive.errors import CheckpointError, DataError
from hf_contrastive.evaluation.encoding import Encode, EncodedSentences
from hf_contrastive.evaluation.geometry import cosine, effective_rank, mean_cosine, singular_values
from hf_contrastive.evaluation.pairs import ScoredPairs
from hf_contrastive.evaluation.sts import evaluate_pairs

MAPS = ("pca", "tsne")
SCORE_GROUPS = 5
_BINS = 50  # of a histogram
_MAP_PAIRS = 200  # of which the map shows the sentences


class PathPoint(NamedTuple):
    """A checkpoint of a run."""

    step: int
    spearman: float
    alignment: float
    uniformity: float


@dataclass
class Figures:
    """What was measured of one model.

    Attributes:
        label: what pictures call it.
        model: as it was named: folder or Hub name.
        dimension: size D of its vectors.
        spearman: rank correlation of cosines and scores, in [-1, 1].
        alignment, uniformity: see `hf_contrastive.evaluation.geometry`; small is good.
        mean_cosine: over all pairs of distinct sentences.
        effective_rank: of `spectrum`.
        spectrum: singular values divided by the largest, falling.
        edges: [B + 1], bounds of the bins of `histograms`.
        histograms: pairs by group of scores (see `score_groups`) and bin of cosines, [G, B].
        points: [S, 2], the map's sentences (see `map_rows`), left sides then right sides.
        shares: of the variance, of the map's two axes; empty where axes have none (t-SNE).
        nearest: by query, the nearest sentences and their cosines.
        path: the checkpoints of a run, by step.
    """

    label: str
    model: str
    dimension: int
    spearman: float
    alignment: float
    uniformity: float
    mean_cosine: float
    effective_rank: float
    spectrum: list[float]
    edges: list[float]
    histograms: list[list[int]]
    points: list[list[float]]
    shares: list[float]
    nearest: dict[str, list[tuple[str, float]]]
    path: list[PathPoint] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "path": [point._asdict() for point in self.path]}


def check_pairs(pairs: ScoredPairs, source: object) -> None:
    """Raise `DataError` unless at least two pairs are positive: alignment is their mean distance."""
    positive = int(positives(pairs).sum())
    if positive < 2:
        raise DataError(
            f"{source}: {positive} of {len(pairs)} pairs score above 4/5 of the highest score; alignment needs at "
            "least 2, name pairs with more paraphrases among them"
        )


def positives(pairs: ScoredPairs) -> np.ndarray:
    """Boolean [N]: pairs that score above 4/5 of the highest score, as in `evaluate_pairs`."""
    return pairs.scores > 0.8 * pairs.scores.max()


def distinct_sentences(pairs: ScoredPairs) -> list[str]:
    """The sentences of all pairs, each once."""
    return list(dict.fromkeys([*pairs.sentence1, *pairs.sentence2]))


def score_groups(pairs: ScoredPairs) -> tuple[np.ndarray, list[str]]:
    """Group [N] of each pair, in fifths of the range of scores, and the groups' names, lowest first."""
    bounds = np.linspace(pairs.scores.min(), pairs.scores.max(), SCORE_GROUPS + 1)
    names = [f"{low:.3g} to {high:.3g}" for low, high in zip(bounds, bounds[1:], strict=False)]
    return np.digitize(pairs.scores, bounds[1:-1]), names


def map_rows(pairs: ScoredPairs) -> np.ndarray:
    """The pairs whose sentences the map shows: all, or 200 spread evenly."""
    return np.linspace(0, len(pairs) - 1, min(len(pairs), _MAP_PAIRS)).round().astype(int)


def measure_point(encode: Encode, pairs: ScoredPairs, step: int) -> PathPoint:
    """Measure a checkpoint: only what its place on the path needs."""
    return PathPoint(step, **evaluate_pairs(encode, pairs))


def measure(
    encode: Encode,
    pairs: ScoredPairs,
    label: str,
    model: str,
    queries: Sequence[str],
    k: int = 5,
    map_by: str = "pca",
) -> Figures:
    """Measure a model.

    Args:
        encode: N sentences to [N, D]; called with each distinct sentence once.
        pairs: at least two of them positive, see `check_pairs`.
        queries: sentences whose nearest ones among those of the pairs are looked up, their own text left out.
        k: how many.
        map_by: `pca`, of all sentences, or `tsne` (van der Maaten & Hinton, 2008), of those that are shown.

    Raises:
        CheckpointError: vectors that are not finite, or nothing but zero.
    """
    sentences = distinct_sentences(pairs)
    encoded = EncodedSentences(encode, [*sentences, *queries], progress=True)
    if not encoded[sentences].any():
        raise CheckpointError(
            f"{label}: its vector of every sentence of the pairs is zero, so there is nothing to measure; choose "
            "another checkpoint"
        )
    vectors = torch.nn.functional.normalize(encoded[sentences], dim=1)
    metrics = evaluate_pairs(lambda texts: encoded[texts], pairs)
    spectrum = singular_values(vectors)
    cosines = cosine(encoded[pairs.sentence1], encoded[pairs.sentence2]).clamp(-1, 1).numpy()
    edges, histograms = _histograms(cosines, score_groups(pairs)[0])
    rows = map_rows(pairs)
    shown = [pairs.sentence1[row] for row in rows] + [pairs.sentence2[row] for row in rows]
    places = torch.tensor([encoded.row[sentence] for sentence in shown])
    points, shares = _pca(vectors, places) if map_by == "pca" else (_tsne(vectors, places), [])
    return Figures(
        label=label,
        model=model,
        dimension=vectors.shape[1],
        spearman=metrics["spearman"],
        alignment=metrics["alignment"],
        uniformity=metrics["uniformity"],
        mean_cosine=mean_cosine(vectors),
        effective_rank=effective_rank(spectrum),
        spectrum=spectrum.tolist(),
        edges=edges.tolist(),
        histograms=histograms.tolist(),
        points=np.round(points, 5).tolist(),
        shares=shares,
        nearest={query: _nearest(encoded, vectors, sentences, query, k) for query in queries},
    )


def _histograms(cosines: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges [B + 1] from the lowest cosine (at most 0) to 1, and counts [G, B]."""
    edges = np.linspace(min(0.0, float(cosines.min())), 1.0, _BINS + 1)
    counts = [np.histogram(cosines[groups == group], edges)[0] for group in range(SCORE_GROUPS)]
    return edges, np.stack(counts)


def _pca(vectors: Tensor, places: Tensor) -> tuple[np.ndarray, list[float]]:
    """The rows `places` on the two widest directions of all rows, and the directions' shares of the variance."""
    vectors = torch.nn.functional.pad(vectors, (0, max(0, 2 - vectors.shape[1])))  # a map needs two axes
    centred = (vectors - vectors.mean(dim=0)).double()
    values, directions = torch.linalg.eigh(centred.T @ centred)
    axes = directions[:, -2:].flip(1)
    # Known up to their sign; this one is the same wherever it is computed.
    axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()
    total = values.clamp(min=0).sum().clamp(min=torch.finfo(torch.float64).tiny)
    shares = (values[-2:].flip(0).clamp(min=0) / total).tolist()
    return (centred[places] @ axes).numpy(), shares


def _tsne(vectors: Tensor, places: Tensor) -> np.ndarray:
    from sklearn.manifold import TSNE

    distinct, where = places.unique(return_inverse=True)
    perplexity = min(30.0, (len(distinct) - 1) / 3)
    made = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(vectors[distinct].numpy())
    return made[where.numpy()]


def _nearest(
    encoded: EncodedSentences, vectors: Tensor, sentences: list[str], query: str, k: int
) -> list[tuple[str, float]]:
    """Nearest sentences by cosine, the query's own text left out."""
    cosines = vectors @ torch.nn.functional.normalize(encoded[[query]][0], dim=0)
    order = cosines.argsort(descending=True, stable=True).tolist()
    found = [(sentences[row], float(cosines[row])) for row in order[: k + 1] if sentences[row] != query]
    return found[:k]
