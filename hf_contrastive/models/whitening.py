"""Whitening: the linear map after which vectors have mean 0 and covariance identity.

Su et al. (2021, "Whitening Sentence Representations for Better Semantics and Faster Retrieval") and Huang et al.
(2021, "WhiteningBERT"): y = (x - mean) U S^(-1/2), where covariance = U S U^T with falling eigenvalues; the first k
columns alone cut the vectors to their k widest directions. Covariances divide by N - 1, as in the authors' code.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hf_contrastive.errors import DataError

# A direction is whitened if its spread is more than so many roundings of a vector's length: then rounding is less than
# 1e-4 of the variance it is stretched to. A layer norm keeps one direction of its output constant, all others pass.
_ROUNDINGS = 100


class RunningMoments:
    """Mean and covariance of vectors that pass by in blocks, in float64 (Chan, Golub and LeVeque, 1983).

    Args:
        width: size D of the vectors.

    Attributes:
        count: vectors so far.
        mean: float64 [D].
        scatter: float64 [D, D], the sum of (x - mean)(x - mean)^T.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = torch.zeros(width, dtype=torch.float64)
        self.scatter = torch.zeros(width, width, dtype=torch.float64)

    def update(self, vectors: Tensor) -> None:
        """Take in a block [n, D]."""
        block = vectors.detach().cpu().double()
        if not len(block):
            return
        mean = block.mean(dim=0)
        centred, between = block - mean, mean - self.mean
        total = self.count + len(block)
        self.scatter += centred.T @ centred + torch.outer(between, between) * (self.count * len(block) / total)
        self.mean = self.mean + between * (len(block) / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        """float64 [D, D]; of at least 2 vectors."""
        return self.scatter / (self.count - 1)


@dataclass(frozen=True)
class Whitening:
    """y = weight x + bias.

    Attributes:
        weight: float64 [K, D].
        bias: float64 [K], minus what `weight` makes of the mean.
        rank: directions in which the vectors differ.
        kept: share of the variance that the K directions hold, in (0, 1].
    """

    weight: Tensor
    bias: Tensor
    rank: int
    kept: float


def fit_whitening(moments: RunningMoments, dimension: int | None = None) -> Whitening:
    """Whiten vectors of these moments.

    Args:
        moments: of N vectors [D].
        dimension: K, the widest directions; default: all in which the vectors differ by more than float32's rounding.

    Raises:
        DataError: fewer such directions than `dimension`, or than D because there are too few sentences.
    """
    width, count = len(moments.mean), moments.count
    check_enough(count, width if dimension is None else dimension)
    values, vectors = torch.linalg.eigh(moments.covariance)
    values, vectors = values.flip(0), vectors.flip(1)
    length = float(moments.mean.square().sum() + values.clamp(min=0).sum())  # mean squared length
    rank = int((values > (_ROUNDINGS * torch.finfo(torch.float32).eps) ** 2 * length).sum())
    if not rank:
        raise DataError(f"the vectors of the {count:,} sentences are all the same; name a corpus, or another model")
    size = rank if dimension is None else dimension
    if size > rank:
        raise DataError(
            f"dimension: the vectors of the {count:,} sentences differ in {rank} directions, so {size} cannot be "
            f"whitened; name --dimension {rank} or less, or a larger corpus"
        )
    chosen = vectors[:, :size]
    # Eigenvectors are known up to their sign; this one is the same wherever it is computed.
    chosen = chosen * chosen.gather(0, chosen.abs().argmax(dim=0, keepdim=True)).sign()
    weight = (chosen / values[:size].sqrt()).T.contiguous()
    return Whitening(weight, -weight @ moments.mean, rank, float(values[:size].sum() / values[:rank].sum()))


def check_enough(sentences: int, dimension: int) -> None:
    """Raise `DataError` unless there are more sentences than dimensions: N vectors differ in N - 1 directions."""
    if sentences <= dimension:
        remedy = f"--dimension {sentences - 1} or less" if sentences > 1 else "a corpus of several sentences"
        raise DataError(
            f"dimension: {sentences:,} sentences cannot whiten {dimension} dimensions, their covariance is singular; "
            f"give at least {dimension + 1:,} sentences (many times as many are better), or {remedy}"
        )
