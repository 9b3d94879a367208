"""Full softmax over a table, exact and without a [B, V] tensor in memory."""

from typing import Any

import torch
from torch import Tensor, nn

_CELLS = 1 << 24  # scores at a time: 64 MB in float32


class _LogNormaliser(torch.autograd.Function):
    """log sum_v exp(anchor . row_v), [B]; scores are computed in blocks of anchors, once more in the backward pass."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, table: Tensor) -> Tensor:
        parts = [(block @ table.T).logsumexp(1) for block in anchors.split(_rows_a_block(table))]
        out = torch.cat(parts)
        ctx.save_for_backward(anchors, table, out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        anchors, table, out = ctx.saved_tensors
        anchor_grads, table_grad = [], torch.zeros_like(table)
        size = _rows_a_block(table)
        for block, normaliser, grad in zip(anchors.split(size), out.split(size), grads[0].split(size), strict=True):
            share = (block @ table.T).sub_(normaliser.unsqueeze(1)).exp_().mul_(grad.unsqueeze(1))
            anchor_grads.append(share @ table)
            table_grad.addmm_(share.T, block)
        return torch.cat(anchor_grads), table_grad


def _rows_a_block(table: Tensor) -> int:
    return max(1, _CELLS // len(table))


class FullSoftmax(nn.Module):
    """-log softmax of each positive among all rows of the table: maximum likelihood (Bengio et al., 2003)."""

    def forward(self, anchors: Tensor, table: Tensor, positive: Tensor, pairs: Tensor) -> Tensor:
        """Mean loss of the pairs.

        Args:
            anchors: [B, D].
            table: [V, D].
            positive: scores [B, W] of the positives.
            pairs: bool [B, W], which of them are there.
        """
        normaliser = _LogNormaliser.apply(anchors, table).unsqueeze(1)
        return (normaliser - positive).masked_fill(~pairs, 0.0).sum() / pairs.sum().clamp(min=1)
