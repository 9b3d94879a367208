"""What every objective has: scores of vectors, a loss of scores, and the loss of one negative alone."""

from typing import Any

import torch
from torch import Tensor, nn

from hf_contrastive.products import inner_products


class Objective(nn.Module):
    """How positives and negatives are contrasted.

    Subclasses implement `loss` and `per_negative`, functions of scores, which serve sentences, words and triples
    alike, and `corrected` where the probability of the draws matters. Calling an objective scores vectors by their
    inner product first.

    Args:
        temperature: scores are inner products divided by it; greater than 0.
    """

    needs_log_q: bool = False
    """Whether the negatives must have been drawn with a known probability."""

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be greater than 0, got {temperature}")
        self.temperature = temperature

    def contrast(
        self,
        positive: Tensor,
        pool: Tensor,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        log_q: Tensor | None = None,
        positive_log_q: Tensor | None = None,
        pairs: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of the anchors, or of the pairs where an anchor has several positives.

        Args:
            positive: scores [B], or [B, W] of several positives an anchor.
            pool: scores [B, P] of the negatives; may be overwritten.
            mask: bool [B, P]; False leaves a negative out.
            weights: [B, P], factors of the negatives' terms.
            log_q: log probability of one draw, broadcastable to [B, P]; see `Negatives`.
            positive_log_q: [B] or [B, W], log probability that one draw is the positive.
            pairs: bool [B, W], which scores are those of a positive; each is contrasted with its anchor's pool.

        Returns:
            scalar; 0 where there is no pair.

        Raises:
            ValueError: the objective needs the log probabilities and they are not given.
        """
        positive, pool = self.corrected(positive, pool, log_q, positive_log_q)
        if pairs is None:
            return self.loss(positive, pool, mask, weights)
        return self.loss_of_pairs(positive, pool, mask, weights, pairs)

    def corrected(
        self, positive: Tensor, pool: Tensor, log_q: Tensor | None, positive_log_q: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Scores [B] and [B, P], corrected for how likely each was drawn; as they are, where every draw counts 1."""
        return positive, pool

    def loss(self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
        """Mean loss of the anchors, of corrected scores [B] and [B, P]; may overwrite `pool`."""
        raise NotImplementedError

    def loss_of_pairs(
        self, positive: Tensor, pool: Tensor, mask: Tensor | None, weights: Tensor | None, pairs: Tensor
    ) -> Tensor:
        """Mean loss of the pairs, each with a copy of its anchor's pool; subclasses do without the copies."""
        anchor, place = pairs.nonzero(as_tuple=True)
        if not len(anchor):
            return 0.0 * (positive.sum() + pool.sum())
        rows = [None if x is None else x.expand(pool.shape)[anchor] for x in (mask, weights)]
        return self.loss(positive[anchor, place], pool[anchor], *rows)

    def per_negative(self, positive: Tensor, pool: Tensor) -> Tensor:
        """[B, P]: the loss each negative alone would cause; what an adversary is rewarded with."""
        raise NotImplementedError

    def forward(self, anchors: Tensor, positives: Tensor, negatives: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`contrast` of the scores of vectors.

        Args:
            anchors: unit vectors [B, D].
            positives: unit vectors [B, D], row i belonging to anchor i.
            negatives: unit vectors [P, D] shared by all anchors, or [B, K, D] each anchor's own.
            args, kwargs: the rest of `contrast`.
        """
        positive, pool = self.scores(anchors, positives, [negatives])
        return self.contrast(positive, pool, *args, **kwargs)

    def scores(self, anchors: Tensor, positives: Tensor, pools: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Scores [B] of the positives and [B, P] of all pools side by side, in float32 (or float64, if given that).

        Args:
            anchors: [B, D].
            positives: [B, D].
            pools: each [P, D] or [B, K, D].
        """
        with torch.autocast(anchors.device.type, enabled=False):
            scaled = _at_least_float32(anchors) / self.temperature
            positive = (scaled * _at_least_float32(positives)).sum(-1)
            columns = [inner_products(scaled, _at_least_float32(pool)) for pool in pools]
            return positive, columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)


def weighted(terms: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
    """Terms [B, P] times their weights, 0 where the mask is False."""
    if weights is not None:
        terms = terms * weights.to(terms.dtype)
    return terms if mask is None else terms.masked_fill(~mask, 0.0)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
