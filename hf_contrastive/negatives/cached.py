"""A cache of hard negatives for each anchor (NSCaching: Zhang et al., ICDE 2019)."""

import torch
from torch import Tensor

from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler, full_precision, usable
from hf_contrastive.negatives.registry import register


@register("cached")
class CachedNegatives(NegativeSampler):
    """Uniform draws from a cache of hard negatives of each anchor, which is renewed whenever the anchor comes by.

    Renewal draws `cache_size` rows out of the union of the cache and `candidates` uniform ones, without replacement,
    in proportion to exp(similarity / temperature). Anchors share a slot where their keys agree modulo `slots`; a slot
    that another anchor filled is a start no worse than random, and false negatives are masked when they are used.
    Where a row of the bank has come to hold another candidate, as the oldest sentences are overwritten, that place of
    a cache counts as not filled.

    Args:
        k: negatives an anchor.
        cache_size: rows in a cache.
        candidates: uniform rows that compete with them.
        slots: caches.
        temperature: smaller keeps harder rows.
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    needs = frozenset({"bank"})
    cache: Tensor
    keys: Tensor

    def __init__(
        self,
        k: int = 16,
        cache_size: int = 30,
        candidates: int = 30,
        slots: int = 65536,
        temperature: float = 0.05,
        mask_duplicates: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("k", k), ("cache_size", cache_size), ("candidates", candidates), ("slots", slots)):
            if value < 1:
                raise ValueError(f"{name} must be positive, got {value}")
        if not temperature > 0:
            raise ValueError(f"temperature must be greater than 0, got {temperature}")
        self.k = k
        self.candidates = candidates
        self.temperature = temperature
        self.mask_duplicates = mask_duplicates
        # Rows counted from the start of the bank; -1: not filled yet.
        self.register_buffer("cache", torch.full((slots, cache_size), -1))
        # Of what was in those rows, where candidates have keys.
        self.register_buffer("keys", torch.zeros(slots, cache_size, dtype=torch.long))

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """Ids [B, k] out of each anchor's cache; in training renews the caches of these anchors."""
        slots = self._slots(context)
        cached = self._filled(context, slots)
        shape = (len(slots), k or self.k)
        column = torch.randint(cached.shape[1], shape, generator=context.generator, device=cached.device)
        ids = cached.gather(1, column) + context.regions["bank"].start
        if self.training:
            self._renew(context, slots, cached)
        return Negatives(ids, usable(context, ids, self.mask_duplicates), "bank")

    def _slots(self, context: Context) -> Tensor:
        keys = context.anchor_keys if context.anchor_keys is not None else context.positive_ids
        return keys % len(self.cache)

    def _filled(self, context: Context, slots: Tensor) -> Tensor:
        """Caches [B, cache_size] with random rows where nothing was cached yet, or what was is there no more."""
        cached, span = self.cache[slots], context.regions["bank"]
        random = _drawn(context, tuple(cached.shape))
        # A bank of another size, in a run started from this one's state, would be read beyond its end.
        empty = (cached < 0) | (cached >= len(span))
        if context.candidate_keys is not None:
            empty |= context.candidate_keys[cached.clamp(0, len(span) - 1) + span.start] != self.keys[slots]
        return torch.where(empty, random, cached)

    def _renew(self, context: Context, slots: Tensor, cached: Tensor) -> None:
        pool = torch.cat([cached, _drawn(context, (len(slots), self.candidates))], dim=1)
        ids = pool + context.regions["bank"].start
        if context.score is not None:
            scores = context.score(ids) / self.temperature
        else:
            with full_precision(context.anchors.device):
                scores = torch.einsum("bd,bkd->bk", context.anchors, context.vectors(ids, "bank")) / self.temperature
        scores = scores.float()
        last = scores.amin(1, keepdim=True)  # distances over a small temperature have no bound to put repeats below
        scores = torch.where(_repeats(pool), last - 1e4, scores)
        scores = torch.where(usable(context, ids, self.mask_duplicates), scores, last - 2e4)
        noise = torch.rand(scores.shape, generator=context.generator, device=scores.device)
        kept = (scores - (-noise.clamp(min=1e-20).log()).log()).topk(cached.shape[1], dim=1).indices  # Gumbel top-k
        # All processes write all caches, so that their copies, and what a checkpoint holds, stay the same.
        rows = pool.gather(1, kept)
        keys = None if context.candidate_keys is None else context.gather(context.candidate_keys[ids.gather(1, kept)])
        slots, rows = context.gather(slots), context.gather(rows)
        # Of several anchors with one slot the last one's rows are written, wherever writes have no order.
        last = torch.zeros(len(self.cache), dtype=torch.long, device=slots.device)
        last.scatter_reduce_(0, slots, torch.arange(len(slots), device=slots.device), "amax", include_self=False)
        self.cache[slots] = rows[last[slots]]
        if keys is not None:
            self.keys[slots] = keys[last[slots]]


def _drawn(context: Context, shape: tuple[int, ...]) -> Tensor:
    return context.draw("bank", shape) - context.regions["bank"].start


def _repeats(rows: Tensor) -> Tensor:
    """Where a row of [B, P] stands in a column before this one too."""
    ordered, place = rows.sort(dim=1, stable=True)
    repeated = torch.zeros_like(rows, dtype=torch.bool)
    return repeated.scatter(1, place[:, 1:], ordered[:, 1:] == ordered[:, :-1])
