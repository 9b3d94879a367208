"""Objectives that tell each negative from the positive's kind on its own: negative sampling and NCE."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from hf_contrastive.objectives.objective import Objective, weighted


class _LossOfPairs(torch.autograd.Function):
    """Mean over pairs of softplus(-s_p) + sum_n w_n softplus(s_n); the scores are overwritten by their gradients."""

    @staticmethod
    def forward(
        ctx: Any, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None, pairs: Tensor
    ) -> Tensor:
        count = pairs.sum(1, keepdim=True, dtype=pool.dtype)
        total = count.sum().clamp(min=1)
        if mask is not None:
            pool.masked_fill_(~mask, -torch.inf)
        positive.neg_().masked_fill_(~pairs, -torch.inf)
        terms = softplus(pool)
        if weights is not None:
            terms *= weights
        loss = (softplus(positive).sum() + (terms.sum(1, keepdim=True) * count).sum()) / total
        pool.sigmoid_().mul_(count / total)
        if weights is not None:
            pool *= weights
        positive.sigmoid_().mul_(-1 / total)
        ctx.save_for_backward(positive, pool)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        positive, pool = ctx.saved_tensors
        return positive * grads[0], pool * grads[0], None, None, None


class NegativeSampling(Objective):
    """-log sigmoid(s_p) - sum_n w_n log sigmoid(-s_n) (Mikolov et al., 2013, equation 4).

    With a margin and self-adversarial weights that sum to 1, which `self_adversarial` gives around draws with
    `stands_for: 1`, it is the loss of RotatE (Sun et al., 2019, equation 5).

    Args:
        temperature: scores are inner products divided by it.
        margin: gamma, added to every score: where a score is minus a distance, sigmoid(gamma - distance) is a half at
            distance gamma.
    """

    def __init__(self, temperature: float = 0.05, margin: float = 0.0) -> None:
        super().__init__(temperature)
        self.margin = margin

    def corrected(
        self, positive: Tensor, pool: Tensor, log_q: Tensor | None, positive_log_q: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Both scores plus the margin."""
        return (positive + self.margin, pool + self.margin) if self.margin else (positive, pool)

    def loss(self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        """See `Objective.loss`."""
        return (softplus(-positive) + weighted(softplus(pool), mask, weights).sum(1)).mean()

    def loss_of_pairs(
        self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None, pairs: Tensor
    ) -> Tensor:
        """See `Objective.loss_of_pairs`: an anchor's pool counts once for each of its pairs. Overwrites the scores."""
        return _LossOfPairs.apply(positive, pool, mask, weights, pairs)

    def per_negative(self, positive: Tensor, pool: Tensor) -> Tensor:
        """-log sigmoid(-s_n - margin), [B, P]."""
        return softplus(pool + self.margin) if self.margin else softplus(pool)


class NCE(NegativeSampling):
    """Noise contrastive estimation: the same with s - log(k q) in place of s (Gutmann and Hyvarinen, 2012).

    At the optimum s is the log of the candidate's probability p, with no normaliser to compute (Mnih and Teh, 2012);
    where draws that hit the anchor's own positive are masked, it is log(p / (1 - p)).
    """

    needs_log_q = True

    def corrected(
        self, positive: Tensor, pool: Tensor, log_q: Tensor | None, positive_log_q: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Both scores plus the margin minus log(P q); raises `ValueError` without the two log probabilities."""
        if log_q is None or positive_log_q is None:
            raise ValueError("nce needs negatives that were drawn with a known probability (log_q)")
        positive, pool = super().corrected(positive, pool, log_q, positive_log_q)
        log_k = math.log(pool.shape[1])
        return positive - (positive_log_q + log_k), pool - (log_q + log_k)
