"""Pairs that are known to be positive, looked up exactly and on the device."""

import torch
from torch import Tensor, nn


class KnownPairs(nn.Module):
    """A set of (anchor key, candidate key).

    Pairs are kept sorted by both keys; a lookup narrows the range of the anchor and searches the candidate in it, so
    nothing is hashed and nothing can collide.

    Args:
        anchor_keys: [N].
        candidate_keys: [N].
    """

    first: Tensor
    second: Tensor

    def __init__(self, anchor_keys: Tensor, candidate_keys: Tensor) -> None:
        super().__init__()
        if anchor_keys.shape != candidate_keys.shape or anchor_keys.dim() != 1:
            raise ValueError(f"expected two lists of one length, got {anchor_keys.shape} and {candidate_keys.shape}")
        pairs = torch.stack([anchor_keys, candidate_keys], 1).unique(dim=0)  # sorted by anchor, then candidate
        self.register_buffer("first", pairs[:, 0].contiguous(), persistent=False)
        self.register_buffer("second", pairs[:, 1].contiguous(), persistent=False)

    def __len__(self) -> int:
        return len(self.first)

    def contain(self, anchor_keys: Tensor, candidate_keys: Tensor) -> Tensor:
        """Which pairs are known: anchors [B] and candidates [B, K] or [1, P] to bool [B, K] or [B, P]."""
        if not len(self):
            return torch.zeros_like(candidate_keys.expand(len(anchor_keys), -1), dtype=torch.bool)
        shape = torch.broadcast_shapes((len(anchor_keys), 1), candidate_keys.shape)
        wanted = candidate_keys.expand(shape)
        low = torch.searchsorted(self.first, anchor_keys).unsqueeze(1).expand(shape)
        end = torch.searchsorted(self.first, anchor_keys, right=True).unsqueeze(1)
        high = end.expand(shape)
        for _ in range(len(self).bit_length()):  # binary search, all at once
            middle = (low + high) // 2
            less = (low < high) & (self.second[middle.clamp(max=len(self) - 1)] < wanted)
            low, high = torch.where(less, middle + 1, low), torch.where((low < high) & ~less, middle, high)
        return (low < end) & (self.second[low.clamp(max=len(self) - 1)] == wanted)
