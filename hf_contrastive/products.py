"""Inner products of anchors with rows of their own or with rows that all share."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def inner_products(anchors: Tensor, rows: Tensor) -> Tensor:
    """[B, P] of anchors [B, D] with shared rows [P, D], or [B, K] with each anchor's own [B, K, D]."""
    return anchors @ rows.T if rows.dim() == 2 else _WithOwnRows.apply(anchors, rows)


class _WithOwnRows(torch.autograd.Function):
    """A matrix product for each anchor is slower than going through the rows once; what is multiplied is not kept."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(anchors, rows)
        return torch.linalg.vecdot(rows, anchors.unsqueeze(1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        anchors, rows = ctx.saved_tensors
        for_anchors = (grad.unsqueeze(2) * rows).sum(1) if ctx.needs_input_grad[0] else None
        return for_anchors, grad.unsqueeze(2) * anchors.unsqueeze(1) if ctx.needs_input_grad[1] else None
