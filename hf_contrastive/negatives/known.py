"""Pairs that are known to be positive, looked up exactly and on the device."""

import torch
from torch import Tensor, nn


class KnownPairs(nn.Module):
    """A set of (anchor key, candidate key).

    Every anchor has a range of candidates, sorted; lookups search, so nothing is hashed and nothing can collide. Of N
    pairs with A anchors N candidates and 2A numbers are kept, and once an anchor's own candidates were looked up N
    numbers more.

    Args:
        anchor_keys: [N], integers.
        candidate_keys: [N], integers; kept in their own type, so 32-bit keys take half the memory. Pairs that come
            sorted by anchor, then candidate, without duplicates, are neither sorted nor copied.
    """

    anchors: Tensor
    starts: Tensor
    candidates: Tensor

    def __init__(self, anchor_keys: Tensor, candidate_keys: Tensor) -> None:
        super().__init__()
        if anchor_keys.shape != candidate_keys.shape or anchor_keys.dim() != 1:
            raise ValueError(f"expected two lists of one length, got {anchor_keys.shape} and {candidate_keys.shape}")
        anchor_keys, candidate_keys = _sorted_pairs(anchor_keys, candidate_keys)
        first = torch.ones_like(anchor_keys, dtype=torch.bool)  # of its anchor
        first[1:] = anchor_keys[1:] != anchor_keys[:-1]
        begins = first.nonzero().flatten()
        starts = torch.cat([begins, begins.new_tensor([len(anchor_keys)])])
        self.register_buffer("anchors", anchor_keys[begins].long(), persistent=False)
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("candidates", candidate_keys.contiguous(), persistent=False)
        self._search: tuple[Tensor, Tensor] | None = None  # made when it is first needed: a pool for all needs none

    def __len__(self) -> int:
        return len(self.candidates)

    def contain(self, anchor_keys: Tensor, candidate_keys: Tensor) -> Tensor:
        """Which pairs are known: anchors [B] and candidates [B, K] or [1, P] to bool [B, K] or [B, P]."""
        if not len(self):
            return torch.zeros_like(candidate_keys.expand(len(anchor_keys), -1), dtype=torch.bool)
        anchor_keys = anchor_keys.long().contiguous()
        place = torch.searchsorted(self.anchors, anchor_keys).clamp(max=len(self.anchors) - 1)
        begin, end = self.starts[place], self.starts[place + 1]
        end = torch.where(self.anchors[place] == anchor_keys, end, begin)
        if candidate_keys.shape[0] == 1 and int((end - begin).sum()) <= len(anchor_keys) * candidate_keys.shape[1]:
            return self._in_pool(begin, end - begin, candidate_keys[0])
        return self._one_by_one(place, candidate_keys) & (end > begin).unsqueeze(1)

    def _one_by_one(self, place: Tensor, wanted: Tensor) -> Tensor:
        """Which of candidates [B, K] or [1, P] anchors at `place` [B] have; a pair of places is one number to find."""
        if self._search is None or self._search[0].device != place.device:
            distinct = self.candidates.unique().long()
            rows = torch.arange(len(self.anchors), device=place.device).repeat_interleave(self.starts.diff())
            self._search = distinct, rows * len(distinct) + torch.searchsorted(distinct, self.candidates.long())
        distinct, numbers = self._search
        column = torch.searchsorted(distinct, wanted.long().contiguous()).clamp_(max=len(distinct) - 1)
        sought = (place * len(distinct)).unsqueeze(1) + column
        found = torch.searchsorted(numbers, sought).clamp_(max=len(numbers) - 1)
        return (numbers[found] == sought) & (distinct[column] == wanted)

    def _in_pool(self, begin: Tensor, count: Tensor, pool: Tensor) -> Tensor:
        """The same for a pool [P] that all anchors share: their candidates are looked up in it, not it in them."""
        row = torch.arange(len(begin), device=pool.device).repeat_interleave(count)
        shift = begin - (count.cumsum(0) - count)
        candidates = self.candidates[torch.arange(len(row), device=pool.device) + shift[row]]
        distinct, column = pool.unique(return_inverse=True)
        place = torch.searchsorted(distinct, candidates.to(distinct.dtype)).clamp(max=len(distinct) - 1)
        there = distinct[place] == candidates
        found = torch.zeros(len(distinct), len(begin), dtype=torch.bool, device=pool.device)
        found[place[there], row[there]] = True
        return found.index_select(0, column).T


def _sorted_pairs(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """By first, then second key, without duplicates."""
    if _ascending(first, second).all():
        return first, second
    order = second.argsort(stable=True)
    order = order[first[order].argsort(stable=True)]
    first, second = first[order], second[order]
    distinct = torch.ones_like(first, dtype=torch.bool)
    distinct[1:] = _ascending(first, second)
    return first[distinct], second[distinct]


def _ascending(first: Tensor, second: Tensor) -> Tensor:
    """Which pairs [N - 1] are above the one before."""
    return (first[1:] > first[:-1]) | ((first[1:] == first[:-1]) & (second[1:] > second[:-1]))
