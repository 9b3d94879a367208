"""Which of the nearest candidates are taken as negatives, and why the others are not.

A near neighbour is often another right answer. What is known to be one goes by its text; what looks like one goes by
its score, measured against that of the positive (NV-Retriever: Moreira et al., arXiv 2407.15831, section 3).
"""

from dataclasses import dataclass

import numpy as np
import torch

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import KnownPairs

# Why a candidate is dropped; one that several reasons fit is counted under the first.
REASONS = (
    "text of the anchor itself",
    "text of its positive",
    "another known positive",
    "rank below range_min",
    "score above max_score",
    "score within margin of the positive's",
    "score above max_percent of the positive's",
)

_NOISE = 5e-7  # float32 cosines of the same vectors differ by less, whichever way they are summed


@dataclass(frozen=True)
class Rules:
    """What a negative has to satisfy.

    Args:
        k: negatives an anchor.
        range_min: that many of the nearest candidates are passed over; known positives have no rank.
        range_max: candidates of this rank (counted from 0) and beyond are not looked at.
        margin: score <= positive's score - margin (TopK-MarginPos).
        max_percent: score <= max_percent * positive's score, a share such as 0.95 (TopK-PercPos); where the positive's
            score is below 0, the product would be above it, and the limit lies as far below instead.
        max_score: score <= max_score (TopK-Abs).

    Raises:
        RecipeError: a number out of its range.
    """

    k: int = 5
    range_min: int = 0
    range_max: int | None = None
    margin: float | None = None
    max_percent: float | None = None
    max_score: float | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise RecipeError(f"k: must be positive, got {self.k}")
        if self.range_min < 0:
            raise RecipeError(f"range_min: must be 0 or positive, got {self.range_min}")
        if self.range_max is not None and self.range_max < self.range_min + self.k:
            raise RecipeError(
                f"range_max: ranks {self.range_min} to {self.range_max - 1} cannot hold k = {self.k} negatives; "
                f"set range_max to {self.range_min + self.k} or more"
            )
        if self.margin is not None and not 0 <= self.margin < 2:
            raise RecipeError(f"margin: is a difference of cosines in [0, 2), got {self.margin}")
        if self.max_percent is not None and not 0 < self.max_percent <= 1:
            raise RecipeError(f"max_percent: is a share in (0, 1], 0.95 for 95 %, got {self.max_percent}")
        if self.max_score is not None and not -1 <= self.max_score <= 1:
            raise RecipeError(f"max_score: is a cosine in [-1, 1], got {self.max_score}")


@dataclass(frozen=True)
class Selection:
    """Negatives of B anchors.

    Attributes:
        ids: [B, k], nearest first; -1 where there is none.
        scores: float32 [B, k] cosines; 0 where there is none.
        dropped: [B, len(REASONS)], candidates dropped before the k-th negative was found.
        done: [B], whether farther candidates cannot change the choice.
    """

    ids: np.ndarray
    scores: np.ndarray
    dropped: np.ndarray
    done: np.ndarray


def select(
    ids: np.ndarray,
    scores: np.ndarray,
    anchors: np.ndarray,
    positives: np.ndarray,
    positive_scores: np.ndarray,
    known: KnownPairs,
    rules: Rules,
) -> Selection:
    """The first `rules.k` of each anchor's neighbours that satisfy `rules`.

    Args:
        ids: [B, F], the nearest candidates; equal texts have equal ids; -1 where the search found no more.
        scores: [B, F], their cosines with the anchor.
        anchors: [B], ids of the anchors' own texts.
        positives: [B], ids of their positives' texts.
        positive_scores: [B], cosines of anchor and positive.
        known: pairs of ids that are known to be positive.
    """
    # Sorted anew, since equal scores come in any order.
    order = np.lexsort((ids, np.where(ids < 0, np.inf, -scores)))
    ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
    real = ids >= 0
    pairs = known.contain(torch.from_numpy(anchors), torch.from_numpy(ids)).numpy()
    known_texts = (ids == anchors[:, None], ids == positives[:, None], pairs)
    candidate = real & ~np.logical_or.reduce(known_texts)
    earlier = candidate.cumsum(1) - candidate  # candidates nearer than this one: its rank, where it is one
    above = [
        np.zeros_like(real) if limit is None else scores > limit + _NOISE for limit in _limits(positive_scores, rules)
    ]
    kept, reasons = real, []
    for hit in (*known_texts, earlier < rules.range_min, *above):
        reasons.append(kept & hit)
        kept = kept & ~hit
    looked_at = kept.cumsum(1) - kept < rules.k
    if rules.range_max is not None:
        looked_at &= earlier < rules.range_max
    chosen = kept & looked_at
    first = np.argsort(~chosen, axis=1, kind="stable")[:, : rules.k]
    taken = np.take_along_axis(chosen, first, 1)
    done = chosen.sum(1) == rules.k
    if rules.range_max is not None:
        done |= candidate.sum(1) >= rules.range_max
    return Selection(
        _wide(np.where(taken, np.take_along_axis(ids, first, 1), -1), rules.k, -1),
        _wide(np.where(taken, np.take_along_axis(scores, first, 1), 0), rules.k, 0).astype(np.float32),
        np.stack([(hit & looked_at).sum(1) for hit in reasons], axis=1),
        done,
    )


def _limits(positive_scores: np.ndarray, rules: Rules) -> list[np.ndarray | None]:
    """The highest score each score filter lets through, [B, 1]; None where it is off."""
    positive = positive_scores.astype(np.float64)[:, None]
    return [
        None if rules.max_score is None else np.full_like(positive, rules.max_score),
        None if rules.margin is None else positive - rules.margin,
        None if rules.max_percent is None else positive - (1 - rules.max_percent) * np.abs(positive),
    ]


def _wide(rows: np.ndarray, width: int, fill: int) -> np.ndarray:
    """Columns added where there were fewer candidates than negatives asked for."""
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=fill)
