"""Numbers about vectors: similarity, rank correlation, alignment and uniformity, spectrum.

Alignment and uniformity are Wang & Isola's (2020, "Understanding Contrastive Representation Learning through Alignment
and Uniformity on the Hypersphere", section 4): small is good for both. Spectrum and mean cosine say how much of the
space is used; like the cosines they are of unit vectors whose mean is not taken off (Gao et al., 2021, section 5).
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import normalize

Vectors: TypeAlias = Tensor | np.ndarray | Sequence[Sequence[float]]
Numbers: TypeAlias = Tensor | np.ndarray | Sequence[float]

_BLOCK = 256  # rows of the distance matrix held at a time


def cosine(x: Vectors, y: Vectors) -> Tensor:
    """Cosine of each row of `x` with the same row of `y`: [N, D], [N, D] -> [N].

    Raises:
        ValueError: the shapes differ or are not [N, D].
    """
    x, y = _unit_rows(x, 1), _unit_rows(y, 1)
    _same_shape(x, y)
    return (x * y).sum(dim=1)


def spearman(scores: Numbers, gold: Numbers) -> float:
    """Spearman's rank correlation in [-1, 1], ties given their mean rank.

    Args:
        scores: [N] numbers from a model.
        gold: [N] numbers from people.

    Returns:
        The correlation; 0.0 where either side is constant, since a collapsed encoder ranks nothing.

    Raises:
        ValueError: fewer than 2 numbers, lengths that differ, or a number that is not finite.
    """
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"scores and gold must be two vectors of one length, got {a.shape} and {b.shape}")
    if len(a) < 2:
        raise ValueError(f"a rank correlation needs at least 2 rows, got {len(a)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("scores and gold must be finite numbers; NaN here means that the model diverged")
    if (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    return float(spearmanr(a, b).statistic)


def alignment(x: Vectors, y: Vectors, alpha: float = 2) -> float:
    """Mean of `||x_i - y_i|| ** alpha` over positive pairs, rows normalised here.

    Args:
        x: [N, D] vectors.
        y: [N, D] vectors of their positives.
        alpha: exponent.

    Raises:
        ValueError: fewer than 2 rows, or shapes that differ.
    """
    x, y = _unit_rows(x), _unit_rows(y)
    _same_shape(x, y)
    return float((x - y).norm(dim=1).pow(alpha).mean())


def uniformity(x: Vectors, t: float = 2) -> float:
    """`log mean exp(-t ||x_i - x_j||^2)` over the pairs i < j, rows normalised here.

    Only `_BLOCK` x N distances are in memory at a time, and the mean is taken in log space.

    Args:
        x: [N, D] vectors.
        t: sharpness of the Gaussian potential.

    Raises:
        ValueError: fewer than 2 rows.
    """
    x = _unit_rows(x)
    total = torch.tensor(-math.inf, dtype=torch.float64)
    for start in range(0, len(x), _BLOCK):
        rows = x[start : start + _BLOCK]
        squared = (2 - 2 * rows @ x[start:].T).clamp(min=0)
        later = torch.ones_like(squared, dtype=torch.bool).triu(diagonal=1)
        potential = (-t * squared).masked_fill(~later, -math.inf).double().flatten()
        total = torch.logaddexp(total, potential.logsumexp(dim=0).cpu())
    return float(total) - math.log(len(x) * (len(x) - 1) / 2)


def mean_cosine(x: Vectors) -> float:
    """Mean cosine over all pairs i < j: what the mean over random pairs estimates; near 1 the vectors fill a cone.

    Ethayarajh's (2019) measure of anisotropy. Closed form: the pairs' sum is (|sum_i x_i|^2 - sum_i |x_i|^2) / 2.

    Args:
        x: [N, D] vectors, rows normalized here.

    Raises:
        ValueError: fewer than 2 rows.
    """
    x = _unit_rows(x).double()
    pairs = x.sum(dim=0).square().sum() - x.square().sum()
    return float(pairs) / (len(x) * (len(x) - 1))


def singular_values(x: Vectors) -> Tensor:
    """Singular values of the matrix whose rows are the unit vectors, divided by the largest.

    Taken in float64 from the smaller of the two Gram matrices, [N, N] or [D, D]: values below about 1e-8 are rounding.

    Args:
        x: [N, D] vectors, rows normalized here.

    Returns:
        float64 [min(N, D)] in [0, 1], falling, the first 1.

    Raises:
        ValueError: fewer than 2 rows, or all of them zero.
    """
    x = _unit_rows(x).double()
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    values = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0).sqrt().cpu()
    if not values[0] > 0:
        raise ValueError("all vectors are zero: they have no spectrum")
    return values / values[0]


def effective_rank(values: Numbers) -> float:
    """exp of the entropy of the singular values as shares of their sum (Roy & Vetterli, 2007).

    Between 1, all in one direction, and the number of values, all directions alike.

    Args:
        values: [R] singular values, not negative, up to a common factor.

    Raises:
        ValueError: no positive value, or a negative one.
    """
    shares = np.asarray(values, dtype=np.float64)
    if shares.ndim != 1 or not (shares >= 0).all() or not shares.sum() > 0:
        raise ValueError("an effective rank needs singular values [R], none negative and one positive")
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unit_rows(x: Vectors, at_least: int = 2) -> Tensor:
    """Normalised rows in float32, or in float64 where `x` is."""
    x = torch.as_tensor(x)
    if x.dtype != torch.float64:
        x = x.float()
    if x.ndim != 2:
        raise ValueError(f"expected vectors [N, D], got shape {tuple(x.shape)}")
    if len(x) < at_least:
        raise ValueError(f"expected at least {at_least} rows, got {len(x)}")
    return normalize(x, dim=1)


def _same_shape(x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape:
        raise ValueError(f"the two sides differ in shape: {tuple(x.shape)} and {tuple(y.shape)}")
