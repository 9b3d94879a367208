"""InfoNCE, the objective of SimCSE, and sampled softmax, which is InfoNCE with corrected draws.

For anchor i with positive p_i and negatives n in its pool, s the cosine and t the temperature:

    l_i = -log  exp(s(i, p_i)/t) / ( exp(s(i, p_i)/t) + sum_n w_in exp(s(i, n)/t) )

With the pool of in-batch positives this is equation 1 of Gao et al. (2021); with hard negatives and w = alpha on each
row's own one it is the loss of their appendix.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from hf_contrastive.objectives.objective import Objective


class _CrossEntropyOfPool(torch.autograd.Function):
    """Mean of `logaddexp(positive, logsumexp(pool)) - positive`; overwrites `pool` and keeps one [B, P] in memory."""

    @staticmethod
    def forward(ctx: Any, positive: Tensor, pool: Tensor) -> Tensor:
        log_normaliser = torch.logaddexp(positive, pool.logsumexp(dim=1))
        probabilities = pool.sub_(log_normaliser.unsqueeze(1)).exp_()
        ctx.save_for_backward(positive, log_normaliser, probabilities)
        return (log_normaliser - positive).mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        positive, log_normaliser, probabilities = ctx.saved_tensors
        scale = grads[0] / len(positive)
        return ((positive - log_normaliser).exp() - 1) * scale, probabilities * scale


class InfoNCE(Objective):
    """Cross entropy of the positive against a pool of negatives."""

    def loss(self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        """See `Objective.loss`; overwrites `pool`."""
        return cross_entropy_of_pool(positive, _weighted_scores(pool, mask, weights))

    def loss_of_pairs(
        self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None, pairs: Tensor
    ) -> Tensor:
        """See `Objective.loss_of_pairs`: the pool's normaliser is an anchor's, whatever the positive."""
        # A pool with nothing to use has a finite normaliser, and a gradient of zero instead of not a number.
        normaliser = _weighted_scores(pool, mask, weights).clamp(min=-1e9).logsumexp(1)
        terms = softplus(normaliser.unsqueeze(1) - positive)  # log(exp(positive) + exp(normaliser)) - positive
        return terms.masked_fill(~pairs, 0.0).sum() / pairs.sum().clamp(min=1)

    def per_negative(self, positive: Tensor, pool: Tensor) -> Tensor:
        """log(1 + exp(s_n - s_p)): the cross entropy against that negative alone, [B, P]."""
        return softplus(pool - positive.unsqueeze(1))


class SampledSoftmax(InfoNCE):
    """Softmax over all candidates, its sum estimated from draws (logQ correction; Bengio and Senecal, 2008).

    A draw with probability q among P stands for 1 / (P q) candidates: the estimate of sum_n exp(s_n) is unbiased. The
    positive is counted once, for certain; draws that hit it are masked.
    """

    needs_log_q = True

    def corrected(
        self, positive: Tensor, pool: Tensor, log_q: Tensor | None, positive_log_q: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Negatives' scores minus log(P q); raises `ValueError` without `log_q`."""
        if log_q is None:
            raise ValueError("sampled softmax needs negatives that were drawn with a known probability (log_q)")
        return positive, pool - (log_q + math.log(pool.shape[1]))


def _weighted_scores(pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
    """Scores [B, P] plus the logs of their weights, minus infinity where the mask is False; overwrites `pool`."""
    if weights is not None:
        pool = pool + weights.to(pool.dtype).log()
    return pool if mask is None else pool.masked_fill_(~mask, -torch.inf)


def cross_entropy_of_pool(positive: Tensor, pool: Tensor) -> Tensor:
    """Mean cross entropy of log scores `positive` [B] against themselves and `pool` [B, P], which is overwritten."""
    return _CrossEntropyOfPool.apply(positive, pool)
