"""Objectives that tell each negative from the positive's kind on its own: negative sampling and NCE."""

import math

from torch import Tensor
from torch.nn.functional import softplus

from hf_contrastive.objectives.objective import Objective, weighted


class NegativeSampling(Objective):
    """-log sigmoid(s_p) - sum_n w_n log sigmoid(-s_n) (Mikolov et al., 2013, equation 4)."""

    def loss(self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        """See `Objective.loss`."""
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

    def corrected(
        self, positive: Tensor, pool: Tensor, log_q: Tensor | None, positive_log_q: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Both scores minus log(P q); raises `ValueError` without the two log probabilities."""
        if log_q is None or positive_log_q is None:
            raise ValueError("nce needs negatives that were drawn with a known probability (log_q)")
        log_k = math.log(pool.shape[1])
        return positive - (positive_log_q + log_k), pool - (log_q + log_k)
