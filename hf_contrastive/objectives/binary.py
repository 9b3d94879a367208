"""Objectives that tell each negative from the positive's kind on its own: negative sampling and NCE."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from hf_contrastive.objectives.objective import Objective, weighted


class NegativeSampling(Objective):
    """-log sigmoid(s_p) - sum_n w_n log sigmoid(-s_n) (Mikolov et al., 2013, equation 4)."""

    def contrast(
        self,
        positive: Tensor,
        pool: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        log_q: Tensor | None = None,
        positive_log_q: Tensor | None = None,
    ) -> Tensor:
        """See `Objective.contrast`; the noise's probability is not looked at."""
        return (softplus(-positive) + weighted(softplus(pool), mask, weights).sum(1)).mean()

    def per_negative(self, positive: Tensor, pool: Tensor) -> Tensor:
        """-log sigmoid(-s_n), [B, P]."""
        return softplus(pool)


class NCE(NegativeSampling):
    """Noise contrastive estimation: the same with s - log(k q) in place of s (Gutmann and Hyvarinen, 2012).

    At the optimum s is the log of the candidate's probability p, with no normaliser to compute (Mnih and Teh, 2012);
    where draws that hit the anchor's own positive are masked, it is log(p / (1 - p)).
    """

    needs_log_q = True

    def contrast(
        self,
        positive: Tensor,
        pool: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        log_q: Tensor | None = None,
        positive_log_q: Tensor | None = None,
    ) -> Tensor:
        """See `Objective.contrast`; raises `ValueError` without the two log probabilities."""
        if log_q is None or positive_log_q is None:
            raise ValueError("nce needs negatives that were drawn with a known probability (log_q)")
        log_k = math.log(pool.shape[1])
        return super().contrast(positive - (positive_log_q + log_k), pool - (log_q + log_k), mask, weights)


class Triplet(Objective):
    """Mean over the negatives of max(0, margin + s_n - s_p) (Schroff et al., 2015, on similarities).

    Args:
        temperature: scores are inner products divided by it; 1 leaves the margin in cosines.
        margin: by how much a positive must be ahead.
    """

    def __init__(self, temperature: float = 1.0, margin: float = 0.2) -> None:
        super().__init__(temperature)
        if not margin >= 0:
            raise ValueError(f"margin must not be negative, got {margin}")
        self.margin = margin

    def contrast(
        self,
        positive: Tensor,
        pool: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        log_q: Tensor | None = None,
        positive_log_q: Tensor | None = None,
    ) -> Tensor:
        """See `Objective.contrast`; a weighted mean over each anchor's usable negatives, 0 where it has none."""
        one = torch.ones_like(pool)
        mass = weighted(one, mask, weights).sum(1)
        terms = weighted(self.per_negative(positive, pool), mask, weights).sum(1)
        return (terms / mass.clamp(min=1e-9)).mean()

    def per_negative(self, positive: Tensor, pool: Tensor) -> Tensor:
        """max(0, margin + s_n - s_p), [B, P]."""
        return (self.margin + pool - positive.unsqueeze(1)).clamp(min=0)
