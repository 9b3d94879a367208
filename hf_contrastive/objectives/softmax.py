"""Full softmax over a table, exact and without a [B, V] tensor in memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Scores at a time: 16 MB in float32, about what a cache holds; an accelerator wants its products larger.
_CELLS = 1 << 22
_CELLS_OF_ACCELERATOR = 1 << 26


class _Normalisers(torch.autograd.Function):
    """sum_b w_b log sum_v exp(anchor_b . row_v).

    The gradient is made beside the value, block by block, while a block's scores are at hand: three matrix products
    and one exponential for each score, where recomputing them would take four and two. Under autocast the products are
    of its type; sums and exponentials stay as they are.
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, table: Tensor, weights: Tensor) -> Tensor:
        device = table.device.type
        of_products = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else table.dtype
        with torch.autocast(device, enabled=False):
            return _Normalisers._in_blocks(ctx, anchors, table, weights, of_products)

    @staticmethod
    def _in_blocks(ctx: Any, anchors: Tensor, table: Tensor, weights: Tensor, of_products: torch.dtype) -> Tensor:
        learns = any(ctx.needs_input_grad)
        anchor_grads, table_grad = torch.empty_like(anchors), torch.zeros_like(table)
        normalisers = anchors.new_empty(len(anchors))
        cells = _CELLS if table.device.type == "cpu" else _CELLS_OF_ACCELERATOR
        size = max(1, cells // len(table))
        factors, rows_of_table = anchors.to(of_products), table.to(of_products)
        for begin in range(0, len(anchors), size):
            rows = slice(begin, begin + size)
            scores = (factors[rows] @ rows_of_table.T).to(table.dtype)
            most = scores.amax(1, keepdim=True)
            sums = scores.sub_(most).exp_().sum(1, keepdim=True)
            normalisers[rows] = (most + sums.log()).squeeze(1)
            if learns:
                scale, shares = weights[rows].unsqueeze(1) / sums, scores.to(of_products)
                anchor_grads[rows] = (shares @ rows_of_table).to(table.dtype).mul_(scale)
                scaled = (anchors[rows] * scale).to(of_products)
                table_grad.add_(shares.T @ scaled)
        ctx.save_for_backward(anchor_grads, table_grad, normalisers)
        return (weights * normalisers).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(grads[0] * saved for saved in ctx.saved_tensors)


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
        normalisers = _Normalisers.apply(anchors, table, pairs.sum(1).to(anchors.dtype))
        return (normalisers - positive.masked_fill(~pairs, 0.0).sum()) / pairs.sum().clamp(min=1)
