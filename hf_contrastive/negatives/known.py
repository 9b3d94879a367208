"""Pairs that are known to be positive, looked up exactly and on the device."""

import torch
from torch import Tensor, nn


class KnownPairs(nn.Module):
    """A set of (anchor key, candidate key).

    Every anchor has a range of candidates, sorted; a lookup searches the candidate in it, so nothing is hashed and
    nothing can collide. Of N pairs with A anchors N candidates and 2A numbers are kept.

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
        self._halvings = int(starts.diff().max()).bit_length() if len(anchor_keys) else 0
        self._numbers: Tensor | None = None  # made when it is first needed: a pool for all needs none
        least, most = (int(x) for x in candidate_keys.aminmax()) if len(candidate_keys) else (-1, 0)
        self._stride = most + 1 if least >= 0 and most < (1 << 62) // max(1, len(self.anchors)) else None

    def __len__(self) -> int:
        return len(self.candidates)

    def contain(self, anchor_keys: Tensor, candidate_keys: Tensor) -> Tensor:
        """Which pairs are known: anchors [B] and candidates [B, K] or [1, P] to bool [B, K] or [B, P]."""
        if not len(self):
            return torch.zeros_like(candidate_keys.expand(len(anchor_keys), -1), dtype=torch.bool)
        shape = torch.broadcast_shapes((len(anchor_keys), 1), candidate_keys.shape)
        wanted = candidate_keys.expand(shape)
        anchor_keys = anchor_keys.long()
        place = torch.searchsorted(self.anchors, anchor_keys).clamp(max=len(self.anchors) - 1)
        begin, end = self.starts[place], self.starts[place + 1]
        end = torch.where(self.anchors[place] == anchor_keys, end, begin)
        if candidate_keys.shape[0] == 1 and int((end - begin).sum()) <= shape.numel():
            return self._in_pool(begin, end - begin, candidate_keys[0])
        if self._stride is not None:
            return self._by_number(place, end > begin, wanted, self._stride)
        end = end.unsqueeze(1)
        low, high = begin.unsqueeze(1).expand(shape), end.expand(shape)
        for _ in range(self._halvings):  # binary search, all at once
            middle = (low + high) // 2
            less = (low < high) & (self.candidates[middle.clamp(max=len(self) - 1)] < wanted)
            low, high = torch.where(less, middle + 1, low), torch.where((low < high) & ~less, middle, high)
        return (low < end) & (self.candidates[low.clamp(max=len(self) - 1)] == wanted)

    def _by_number(self, place: Tensor, there: Tensor, wanted: Tensor, stride: int) -> Tensor:
        """The same for candidates that are row numbers: a pair is one number, found by one search."""
        if self._numbers is None or self._numbers.device != place.device:
            rows = torch.arange(len(self.anchors), device=place.device).repeat_interleave(self.starts.diff())
            self._numbers = rows * stride + self.candidates
        sought = (place * stride).unsqueeze(1) + wanted
        found = torch.searchsorted(self._numbers, sought).clamp_(max=len(self) - 1)
        in_range = (wanted >= 0) & (wanted < stride)  # beyond it is the number of another anchor's pair
        return (self._numbers[found] == sought) & in_range & there.unsqueeze(1)

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
