"""Scoring functions of knowledge graph embeddings.

Each is a function of a query, made of the known entity and the relation, and a candidate for the open slot: `q . e`
for the bilinear models, minus a distance of q and e for the others. A pool of candidates that all queries share then
costs matrix products, and no [B, P, D] tensor.

Signs and norms are PyKEEN's. Complex vectors have their real parts in the first half of a row, imaginary parts in the
second.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.utils.checkpoint import checkpoint

from hf_contrastive.products import inner_products

Side = Literal["head", "tail"]
"""The open slot, which candidates fill."""

Sides = Side | int
"""That of all triples of a batch, or how many, from the first on, have their head open; the others their tail."""

Rows = tuple[Tensor, ...]
"""Vectors [..., D] of entities or relations; for TransD, projection vectors [..., D] beside them."""

# Numbers of a [b, P, D] block at a time, where there is no way around one: 4 MB in float32, about what a cache holds.
_CELLS = 1 << 20
_CELLS_OF_ACCELERATOR = 1 << 26


class Interaction:
    """A scoring function.

    Args:
        norm: of a distance, 1 or 2; `None` is the model's usual one, and the only choice of a bilinear model.

    Attributes:
        norms: what `norm` may be, the usual one first.
        is_bilinear: whether scores are inner products of query and candidate.
        is_complex: whether rows are complex vectors, and D even.
        is_projected: whether rows come with projection vectors.
    """

    norms: tuple[int | None, ...] = (None,)
    is_bilinear = False
    is_complex = False
    is_projected = False

    def __init__(self, norm: int | None = None) -> None:
        self.norm = self.norms[0] if norm is None else norm
        if self.norm not in self.norms:
            allowed = " or ".join(map(str, self.norms))
            raise ValueError(f"norm of {type(self).__name__} must be {allowed}, got {norm}")

    def query(self, entity: Rows, relation: Rows, side: Side) -> Rows:
        """What candidates for `side` are compared with; its first part [..., D] is the query's vector."""
        raise NotImplementedError

    def score(self, query: Rows, entity: Rows) -> Tensor:
        """Scores [...] of queries and candidates whose leading dimensions broadcast."""
        raise NotImplementedError

    def score_pool(self, query: Rows, pool: Rows) -> Tensor:
        """Scores [B, P] of queries [B, D] and candidates [P, D] that all of them share."""
        raise NotImplementedError


class _Bilinear(Interaction):
    is_bilinear = True

    def score(self, query: Rows, entity: Rows) -> Tensor:
        q, e = query[0], entity[0]
        if q.dim() == e.dim() == 3 and q.shape[1] == 1:  # [B, 1, D] and [B, K, D]
            return inner_products(q.squeeze(1), e)
        return (q * e).sum(-1)

    def score_pool(self, query: Rows, pool: Rows) -> Tensor:
        return query[0] @ pool[0].T


class DistMult(_Bilinear):
    """sum_d h r t (Yang et al., 2015)."""

    def query(self, entity: Rows, relation: Rows, side: Side) -> Rows:
        """The product of entity and relation, the same for both sides."""
        return (entity[0] * relation[0],)


class ComplEx(_Bilinear):
    """Re sum_d h r conj(t) (Trouillon et al., 2016)."""

    is_complex = True

    def query(self, entity: Rows, relation: Rows, side: Side) -> Rows:
        """h r, or conj(r) t: the score is their inner product with the candidate as real vectors."""
        real, imaginary = relation[0].chunk(2, -1)
        return (_times(entity[0], real, imaginary, side),)


class _Distance(Interaction):
    """Minus |q - e|."""

    def score(self, query: Rows, entity: Rows) -> Tensor:
        between = query[0] - entity[0]
        # vector_norm takes eight times as long for norm 1 on a CPU.
        return -between.abs().sum(-1) if self.norm == 1 else -vector_norm(between, dim=-1)

    def score_pool(self, query: Rows, pool: Rows) -> Tensor:
        if self.norm == 2:
            return _MinusEuclidean.apply(query[0], pool[0])
        # Measured on one thread, B = 512, P = 256, D = 100, forward and backward: 18 ms, by broadcasting 188, by
        # broadcasting in blocks in the backward pass only 20.
        return -torch.cdist(query[0], pool[0], p=1)


class TransE(_Distance):
    """-|h + r - t|, in L1 or L2 (Bordes et al., 2013)."""

    norms = (1, 2)

    def query(self, entity: Rows, relation: Rows, side: Side) -> Rows:
        """h + r, or t - r."""
        return (entity[0] + relation[0] if side == "tail" else entity[0] - relation[0],)


class RotatE(_Distance):
    """-|h r - t| with r = exp(i phase), a rotation in each complex plane (Sun et al., 2019).

    Norm 2 is the length of the complex vector, as PyKEEN has it; norm 1 the sum of its D/2 moduli, as the authors'
    code has it. A row of a relation is its D/2 phases.
    """

    norms = (2, 1)
    is_complex = True

    def query(self, entity: Rows, relation: Rows, side: Side) -> Rows:
        """h r, or t conj(r), which is as far from h as h r is from t."""
        return (_times(entity[0], relation[0].cos(), relation[0].sin(), side),)

    def score(self, query: Rows, entity: Rows) -> Tensor:
        """See `Interaction.score`."""
        if self.norm == 2:
            return super().score(query, entity)
        real, imaginary = (query[0] - entity[0]).square().chunk(2, -1)
        squares = (real + imaginary).clamp(min=torch.finfo(real.dtype).tiny)  # the root of 0 has no slope
        return -squares.sqrt().sum(-1)

    def score_pool(self, query: Rows, pool: Rows) -> Tensor:
        """See `Interaction.score_pool`; norm 1 goes through [b, P, D] blocks, computed once more for the gradient."""
        return super().score_pool(query, pool) if self.norm == 2 else _in_blocks(self.score, query, pool)


class TransD(Interaction):
    """-|h' + r - t'|^2, or the L1 distance, where e' = e + (e_p . e) r_p, cut to length 1 (Ji et al., 2015).

    Entities and relations have the same dimension. A query is (h' + r, r_p) or (t' - r, r_p): a candidate is
    compared with its vector after projection by r_p, which differs from query to query.
    """

    norms = (2, 1)
    is_projected = True

    def query(self, entity: Rows, relation: Rows, side: Side) -> Rows:
        """h' + r, or t' - r, and r_p."""
        projected = _projected(entity, relation[1])
        return (projected + relation[0] if side == "tail" else projected - relation[0], relation[1])

    def score(self, query: Rows, entity: Rows) -> Tensor:
        """See `Interaction.score`."""
        difference = query[0] - _projected(entity, query[1])
        return -(difference.square() if self.norm == 2 else difference.abs()).sum(-1)

    def score_pool(self, query: Rows, pool: Rows) -> Tensor:
        """See `Interaction.score_pool`; norm 1 goes through [b, P, D] blocks, computed once more for the gradient."""
        if self.norm == 1:
            return _in_blocks(self.score, query, pool)
        (q, projection), (e, e_p) = query, pool
        a = (e_p * e).sum(-1)  # e' = s (e + a r_p), and all that is needed of it is its products with q and itself
        squares = e.square().sum(-1) + a * (2 * projection @ e.T) + a.square() * _squares(projection)
        inverse = squares.clamp(min=1).rsqrt()  # s
        products = q @ e.T + (q * projection).sum(-1, keepdim=True) * a
        return 2 * inverse * products - _squares(q) - squares * inverse.square()


INTERACTIONS: dict[str, type[Interaction]] = {
    "transe": TransE,
    "transd": TransD,
    "distmult": DistMult,
    "complex": ComplEx,
    "rotate": RotatE,
}


class _MinusEuclidean(torch.autograd.Function):
    """-|q - e|, [B, P], by |q|^2 + |e|^2 - 2 q . e.

    A distance whose square is below the rounding error of these terms is 0, and so is its gradient, as that of
    `vector_norm` at 0.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, pool: Tensor) -> Tensor:
        lengths = _squares(query) + _squares(pool).T
        squares = torch.addmm(lengths, query, pool.T, alpha=-2)
        squares.masked_fill_(squares <= lengths.mul_(4 * torch.finfo(lengths.dtype).eps), 0.0)
        inverse = squares.rsqrt()
        ctx.save_for_backward(query, pool, inverse.masked_fill_(squares == 0, 0.0))
        return squares.sqrt_().neg_()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        query, pool, inverse = ctx.saved_tensors
        pull = grads[0] * inverse
        return pull @ pool - pull.sum(1, keepdim=True) * query, pull.T @ query - pull.sum(0).unsqueeze(1) * pool


def heads_open(side: Sides, count: int) -> int:
    """How many of `count` triples have their head open."""
    return side if isinstance(side, int) else count * (side == "head")


def _squares(x: Tensor) -> Tensor:
    """Squared lengths [N, 1] of [N, D]."""
    return x.square().sum(-1, keepdim=True)


def _times(x: Tensor, real: Tensor, imaginary: Tensor, side: Side) -> Tensor:
    """Complex products [..., D] of x with real + i imaginary [..., D/2], or with its conjugate for heads."""
    a, b = x.chunk(2, -1)
    imaginary = imaginary if side == "tail" else -imaginary
    return torch.cat([a * real - b * imaginary, a * imaginary + b * real], -1)


def _projected(entity: Rows, projection: Tensor) -> Tensor:
    """e + (e_p . e) r_p, cut to length 1."""
    e, e_p = entity
    moved = e + (e_p * e).sum(-1, keepdim=True) * projection
    return moved / vector_norm(moved, dim=-1, keepdim=True).clamp(min=1)


def _in_blocks(score: Callable[[Rows, Rows], Tensor], query: Rows, pool: Rows) -> Tensor:
    """`score` of each query with the whole pool, a block of queries at a time."""
    cells = _CELLS if pool[0].device.type == "cpu" else _CELLS_OF_ACCELERATOR
    size = max(1, cells // max(1, pool[0].numel()))
    columns = [part.unsqueeze(1).split(size) for part in query]
    blocks = [checkpoint(score, block, pool, use_reentrant=False) for block in zip(*columns, strict=True)]
    return torch.cat(blocks)
