"""Draws from a fixed discrete distribution in constant time each (Walker, 1977; Vose, 1991)."""

import numpy as np
import torch
from torch import Tensor


class AliasTable:
    """Alias table of a distribution.

    Args:
        weights: [V], not negative, not all zero; need not sum to 1.

    Raises:
        ValueError: weights that are no distribution.
    """

    def __init__(self, weights: Tensor) -> None:
        mass = weights.detach().double().cpu().numpy()
        if mass.ndim != 1 or not np.isfinite(mass).all() or (mass < 0).any() or not mass.any():
            raise ValueError("weights must be finite, not negative, and not all zero")
        mass = mass / mass.max()  # a sum of the weights themselves may overflow, or be too small to divide by
        self.probabilities = torch.from_numpy(mass / mass.sum()).to(weights.device)
        keep, alias = _tables(mass * (len(mass) / mass.sum()))
        self.keep = torch.from_numpy(keep).float().to(weights.device)
        self.alias = torch.from_numpy(alias).to(weights.device)

    def draw(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Indices of `shape`, drawn with replacement."""
        device = self.keep.device
        column = torch.randint(len(self.keep), shape, generator=generator, device=device)
        coin = torch.rand(shape, generator=generator, device=device)
        return torch.where(coin < self.keep[column], column, self.alias[column])


def _tables(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share each column keeps, and who has the rest of it; `scaled` has mean 1 and is overwritten."""
    alias = np.arange(len(scaled))
    keep = np.ones(len(scaled))
    small = list(np.flatnonzero(scaled < 1))
    large = list(np.flatnonzero(scaled >= 1))
    while small and large:
        less, more = small.pop(), large[-1]
        keep[less], alias[less] = scaled[less], more
        scaled[more] -= 1 - scaled[less]
        if scaled[more] < 1:
            small.append(large.pop())
    return keep, alias  # what is left over in either list is 1 but for rounding
