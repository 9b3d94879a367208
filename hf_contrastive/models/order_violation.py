"""||max(0, y - x)||^2 of points x and y (Vendrov et al., 2016, equation 2), of many pairs in blocks.

The maximum keeps it from being a matrix product. Nothing of a block is kept for the backward pass, which computes it
again.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_CELLS_ON_CPU = 1 << 18  # numbers a block: 1 MB in float32 stays in a core's cache
_CELLS = 1 << 24  # elsewhere: 64 MB


def violation(below: Tensor, above: Tensor) -> Tensor:
    """[...] of points [..., D] and [..., D]."""
    return (above - below).clamp(min=0).square().sum(-1)


def violation_of_pool(below: Tensor, above: Tensor) -> Tensor:
    """[B, P] of points [B, D] with each of [P, D]."""
    return _OfPool.apply(below, above)


def violation_of_rows(below: Tensor, above: Tensor, places: Tensor) -> Tensor:
    """[B, K] of points [B, D], each with its own K of the points [U, D], those at `places` [B, K]."""
    return _OfRows.apply(below, above, places)


class _OfPool(torch.autograd.Function):
    """One coordinate of a block of [B, P] at a time: several times as fast on CPU as blocks of [B, P, D]."""

    @staticmethod
    def forward(ctx: Any, below: Tensor, above: Tensor) -> Tensor:
        ctx.save_for_backward(below, above)
        out = below.new_zeros(len(below), len(above))
        for rows, columns in _blocks(out, 1):
            block = out[rows, columns]
            for x, y in _coordinates(below[rows], above[columns]):
                excess = (y - x).clamp_(min=0)
                block.addcmul_(excess, excess)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        below, above = ctx.saved_tensors
        below_grad, above_grad = torch.zeros_like(below), torch.zeros_like(above)
        for rows, columns in _blocks(grads[0], 1):
            grad = 2 * grads[0][rows, columns]
            for d, (x, y) in enumerate(_coordinates(below[rows], above[columns])):
                slope = (y - x).clamp_(min=0).mul_(grad)
                below_grad[rows, d] -= slope.sum(1)
                above_grad[columns, d] += slope.sum(0)
        return below_grad, above_grad


class _OfRows(torch.autograd.Function):
    """The rows at `places` are copied a block at a time."""

    @staticmethod
    def forward(ctx: Any, below: Tensor, above: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(below, above, places)
        out = below.new_empty(places.shape)
        for rows, columns in _blocks(out, below.shape[1]):
            out[rows, columns] = violation(below[rows].unsqueeze(1), above[places[rows, columns]])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        below, above, places = ctx.saved_tensors
        below_grad, above_grad = torch.zeros_like(below), torch.zeros_like(above)
        for rows, columns in _blocks(grads[0], below.shape[1]):
            place, grad = places[rows, columns], 2 * grads[0][rows, columns]
            slope = (above[place] - below[rows].unsqueeze(1)).clamp_(min=0).mul_(grad.unsqueeze(2))
            below_grad[rows] -= slope.sum(1)
            above_grad.index_add_(0, place.flatten(), slope.flatten(0, 1))
        return below_grad, above_grad, None


def _coordinates(below: Tensor, above: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each coordinate [B, 1] and [P]."""
    return zip(below.T.contiguous().unsqueeze(2), above.T.contiguous(), strict=True)


def _blocks(table: Tensor, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the blocks of a table [B, P] whose cells are `width` numbers each."""
    most = max(1, (_CELLS_ON_CPU if table.device.type == "cpu" else _CELLS) // width)
    columns = max(1, min(table.shape[1], most))
    rows = most // columns
    for row in range(0, table.shape[0], rows):
        for column in range(0, table.shape[1], columns):
            yield slice(row, row + rows), slice(column, column + columns)
