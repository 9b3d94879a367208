"""The triplet margin, over any number of negatives."""

import torch
from torch import Tensor

from hf_contrastive.objectives.objective import Objective, weighted


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

    def loss(self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        """See `Objective.loss`; a weighted mean over each anchor's usable negatives, 0 where it has none."""
        one = torch.ones_like(pool)
        mass = weighted(one, mask, weights).sum(1)
        terms = weighted(self.per_negative(positive, pool), mask, weights).sum(1)
        return (terms / mass.clamp(min=1e-9)).mean()

    def per_negative(self, positive: Tensor, pool: Tensor) -> Tensor:
        """max(0, margin + s_n - s_p), [B, P]."""
        return (self.margin + pool - positive.unsqueeze(1)).clamp(min=0)
