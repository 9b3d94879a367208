"""The loss of order embeddings, whose scores are minus the violation of the order."""

from torch import Tensor

from hf_contrastive.objectives.objective import Objective, weighted


class Order(Objective):
    """-s_p + sum_n w_n max(0, margin + s_n) (Vendrov et al., 2016, equation 3, with E = -s).

    A positive is pulled until it violates nothing, a negative pushed until it violates by the margin. Scores above 0
    are not what it is made for: a violation has none.

    Args:
        temperature: scores are divided by it where they are computed from vectors; see `Objective`.
        margin: violation at which a negative counts no more; 1 in Vendrov et al.'s code.
    """

    def __init__(self, temperature: float = 1.0, margin: float = 1.0) -> None:
        super().__init__(temperature)
        if not margin >= 0:
            raise ValueError(f"margin must not be negative, got {margin}")
        self.margin = margin

    def loss(self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        """See `Objective.loss`."""
        return (self._of_pool(pool, mask, weights) - positive).mean()

    def loss_of_pairs(
        self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None, pairs: Tensor
    ) -> Tensor:
        """See `Objective.loss_of_pairs`: the pool's term is an anchor's, whatever the positive."""
        terms = self._of_pool(pool, mask, weights).unsqueeze(1) - positive
        return terms.masked_fill(~pairs, 0.0).sum() / pairs.sum().clamp(min=1)

    def per_negative(self, positive: Tensor, pool: Tensor) -> Tensor:
        """max(0, margin + s_n), [B, P]."""
        return (self.margin + pool).clamp(min=0)

    def _of_pool(self, pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        return weighted((self.margin + pool).clamp(min=0), mask, weights).sum(1)
