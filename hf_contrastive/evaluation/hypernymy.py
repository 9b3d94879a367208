"""Hypernymy: is one concept above another? Accuracy of the order's violation, cut at a threshold.

A pair counts as true where its violation is at most the threshold, which is chosen on dev (Vendrov et al., 2016).
Positives stand beside one random corruption each, so that guessing reaches 0.5. All figures are in [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from hf_contrastive.data.hierarchy import Hierarchy
from hf_contrastive.data.hierarchy_negatives import NEGATIVE_KINDS, RANDOM_KINDS
from hf_contrastive.models.order_embedding import OrderEmbeddingModel

Violation = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class KindScore:
    """How well one kind of negatives is told from the true pairs.

    Args:
        accuracy: share of them above the threshold.
        auc: probability that one violates more than a true pair, a tie counting one half.
        pairs: how many there are.
    """

    accuracy: float
    auc: float
    pairs: int


@dataclass(frozen=True)
class HypernymyResult:
    """What was measured on one split.

    Args:
        accuracy: of the true pairs and their random corruptions, at the threshold chosen on dev.
        threshold: the largest violation that counts as true.
        recall: share of the true pairs at or below it.
        auc: area under the ROC curve, of true pairs and random corruptions; no threshold is in it.
        by_kind: scores of the negatives by name of their kind; `reversed` and `sibling` are in here alone.
        ceiling: accuracy of one that knows the hierarchy: below 1 where negatives are true pairs.
        pairs: true pairs and random corruptions.
        split: `dev` or `test`; on dev the threshold is the best there is.
        protocol: `filtered` or `path_counted`.
        accuracy_with_test_threshold: `accuracy` with the threshold chosen on test itself, which no honest figure is;
            under `path_counted` alone, where it bounds what choosing on test can gain. The reference code takes its
            threshold from dev, but keeps the best accuracy on test of all its evaluations: that is the greatest
            `accuracy` of a run.
    """

    accuracy: float
    threshold: float
    recall: float
    auc: float
    by_kind: dict[str, KindScore]
    ceiling: float
    pairs: int
    split: str
    protocol: str
    accuracy_with_test_threshold: float | None = None


def evaluate_hypernymy(
    model: OrderEmbeddingModel | Violation, hierarchy: Hierarchy, split: str = "test", batch_size: int = 1 << 16
) -> HypernymyResult:
    """Tell held-out pairs from negatives.

    Args:
        model: an order embedding, or any function of child ids [B] and ancestor ids [B] to violations [B], lower
            meaning more likely true.
        hierarchy: see `load_hierarchy`.
        split: `test` or `dev`.
        batch_size: pairs at a time.

    Raises:
        ValueError: an unknown split, or violations that are not finite or not one a pair.
    """
    function: Violation = model.violation if isinstance(model, OrderEmbeddingModel) else model
    device = model.device if isinstance(model, OrderEmbeddingModel) else torch.device("cpu")
    positives, negatives, kinds = _measure(function, hierarchy, "dev", device, batch_size)
    threshold, _ = best_threshold(positives, negatives[np.isin(kinds, RANDOM_KINDS)])
    if split != "dev":
        positives, negatives, kinds = _measure(function, hierarchy, split, device, batch_size)
    random = negatives[np.isin(kinds, RANDOM_KINDS)]
    total = len(positives) + len(random)
    by_kind = {
        name: KindScore(float((chosen > threshold).mean()), _auc(positives, chosen), len(chosen))
        for kind, name in enumerate(NEGATIVE_KINDS)
        if len(chosen := negatives[kinds == kind])
    }
    on_test = hierarchy.protocol == "path_counted" and split == "test"
    return HypernymyResult(
        accuracy=float(((positives <= threshold).sum() + (random > threshold).sum()) / total),
        threshold=threshold,
        recall=float((positives <= threshold).mean()),
        auc=_auc(positives, random),
        by_kind=by_kind,
        ceiling=1 - hierarchy.leaks[f"{split}_negatives_true"] / total,
        pairs=total,
        split=split,
        protocol=hierarchy.protocol,
        accuracy_with_test_threshold=best_threshold(positives, random)[1] if on_test else None,
    )


def best_threshold(positives: np.ndarray, negatives: np.ndarray) -> tuple[float, float]:
    """The threshold with the best accuracy where pairs at or below it count as true, and that accuracy.

    Exact: every cut between two different values is tried, accepting none among them; of equally good ones the lowest
    is taken.

    Args:
        positives: violations [N].
        negatives: violations [M].
    """
    values = np.concatenate([positives, negatives])
    order = np.argsort(values)
    values = values[order]
    gained = np.cumsum(np.where(order < len(positives), 1, -1))  # correct pairs beyond those of accepting none
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # pairs that tie are cut off together
    right = np.append(0, gained[ends]) + len(negatives)
    best = int(right.argmax())
    threshold = values[ends[best - 1]] if best else np.nextafter(values[0], -np.inf)
    return float(threshold), float(right[best] / len(values))


def _measure(
    function: Violation, hierarchy: Hierarchy, split: str, device: torch.device, batch_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Violations of a split's pairs and negatives, float64, and the negatives' kinds."""
    pairs, negatives, kinds = hierarchy.split(split)
    both = torch.cat([pairs, negatives])
    with torch.no_grad():
        found = [function(*batch.to(device).T.contiguous()) for batch in both.split(batch_size)]
    values = torch.cat(found).double().cpu().numpy()
    if values.shape != (len(both),):
        raise ValueError(f"expected a violation for each of {len(both)} pairs, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{split}: {int((~np.isfinite(values)).sum())} violations are not finite")
    return values[: len(pairs)], values[len(pairs) :], kinds.numpy()


def _auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    labels = np.append(np.ones(len(positives)), np.zeros(len(negatives)))
    return float(roc_auc_score(labels, -np.concatenate([positives, negatives])))
