"""Noise that ignores the anchor: uniform, and unigram^p (Mikolov et al., 2013)."""

import math
from typing import Any

import torch
from torch import Tensor

from hf_contrastive.negatives.alias import AliasTable
from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler, usable
from hf_contrastive.negatives.registry import register


class _Noise(NegativeSampler):
    """Draws with replacement from the bank.

    Args:
        k: draws.
        shared: one pool [k] for the whole batch; else [B, k], k for each anchor.
        stands_for: negatives an anchor that the draws stand for: each counts `stands_for / k`. With it a shared pool
            estimates the loss that so many draws of each anchor's own would have, with less variance. Default: k.
            Objectives that correct draws by log q take none: they weigh every draw by its probability.
        fresh: encode what was drawn anew, with gradient, where rows are sentences of an earlier step.
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    needs = frozenset({"bank"})
    gives_log_q = True
    reads_vectors = False

    def __init__(
        self,
        k: int = 64,
        shared: bool = True,
        fresh: bool = False,
        mask_duplicates: bool = True,
        stands_for: float | None = None,
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be positive, got {k}")
        if stands_for is not None and not stands_for > 0:
            raise ValueError(f"stands_for must be greater than 0, got {stands_for}")
        self.k = k
        self.stands_for = stands_for
        self.shared = shared
        self.fresh = fresh
        self.mask_duplicates = mask_duplicates

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """Ids [k] or [B, k] of the bank and their log probabilities."""
        k = k or self.k
        shape = (k,) if self.shared else (len(context.anchors), k)
        draws = self._draw(context, shape)
        ids = draws + context.regions["bank"].start
        return Negatives(
            ids,
            usable(context, ids, self.mask_duplicates),
            "bank",
            log_q=self._log_probability(context, draws),
            positive_log_q=self._positive_log_q(context),
            fresh=ids.flatten() if self.fresh else None,
        )

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        """`stands_for / k` for every draw, [B, P]."""
        if self.stands_for is None:
            return None
        mask = negatives.mask
        return torch.full((1, 1), self.stands_for / mask.shape[1], device=mask.device).expand(mask.shape)

    def _positive_log_q(self, context: Context) -> Tensor:
        """A positive of the bank has the probability of its row; one that is in this batch only, as if it were new."""
        span = context.regions["bank"]
        row = (context.positive_ids - span.start).clamp(0, len(span) - 1)
        return self._log_probability(context, row)

    def _draw(self, context: Context, shape: tuple[int, ...]) -> Tensor:
        raise NotImplementedError

    def _log_probability(self, context: Context, rows: Tensor) -> Tensor:
        raise NotImplementedError


@register("uniform")
class UniformNegatives(_Noise):
    """Rows of the bank, all equally likely."""

    def _draw(self, context: Context, shape: tuple[int, ...]) -> Tensor:
        return context.draw("bank", shape) - context.regions["bank"].start

    def _log_probability(self, context: Context, rows: Tensor) -> Tensor:
        return torch.full(rows.shape, -math.log(len(context.regions["bank"])), device=rows.device)


@register("unigram")
class UnigramNegatives(_Noise):
    """Rows of the bank in proportion to their count to the `power`; word2vec's noise at 0.75.

    Args:
        power: p of unigram^p; 0 is uniform, 1 the data's own distribution.
    """

    needs = frozenset({"bank", "counts"})

    def __init__(
        self,
        k: int = 64,
        power: float = 0.75,
        shared: bool = True,
        mask_duplicates: bool = True,
        stands_for: float | None = None,
    ) -> None:
        super().__init__(k, shared, mask_duplicates=mask_duplicates, stands_for=stands_for)
        self.power = power
        self._table: tuple[tuple[Any, ...], Tensor, AliasTable] | None = None

    def _alias(self, context: Context) -> AliasTable:
        assert context.counts is not None
        counts, span = context.counts, context.regions["bank"]
        made_of = (counts.data_ptr(), counts.shape, counts._version, counts.device, span)
        if self._table is None or self._table[0] != made_of:
            # The counts are held: while they are, no others can be in their place in memory.
            self._table = (made_of, counts, AliasTable(counts[span.start : span.stop].double() ** self.power))
        return self._table[2]

    def _draw(self, context: Context, shape: tuple[int, ...]) -> Tensor:
        return self._alias(context).draw(shape, context.generator)

    def _log_probability(self, context: Context, rows: Tensor) -> Tensor:
        return self._alias(context).probabilities[rows].log().float()
