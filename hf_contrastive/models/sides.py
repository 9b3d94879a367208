"""Batches of triples or pairs, one side of each open for candidates: those whose first side is come first."""

import torch
from torch import Tensor


def first_side_first(is_first: Tensor) -> tuple[Tensor, int]:
    """The order [B] in which rows whose first side is open, bool [B], come first, and how many they are."""
    return torch.cat([is_first.nonzero(), (~is_first).nonzero()]).squeeze(1), int(is_first.sum())


def spliced(first: Tensor, second: Tensor, count: int) -> Tensor:
    """The first `count` rows of one [B, ...], the others of the other: `spliced(heads, tails, count)` are open."""
    return torch.cat([first[:count], second[count:]])
