"""Rows gathered from every rank, with exact gradients.

Each rank contrasts its own anchors with the candidates of all ranks. The backward pass adds up, over the ranks, what
each of them has to say about a candidate; with DDP's mean this is the single-process gradient, not 1/W of it (which is
what keeping only the local rows attached gives).
"""

import gc
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them."""
    return dist.get_rank() if world_size() > 1 else 0


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        out = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(out, rows.contiguous())
        return torch.cat(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        start = rank() * ctx.count
        return total[start : start + ctx.count]


def gather_rows(rows: Tensor) -> Tensor:
    """[n, ...] of each rank to [W * n, ...] in rank order; n must be equal on all ranks. Differentiable."""
    return _GatherRows.apply(rows) if world_size() > 1 else rows


def longest_of_ranks(count: int, device: torch.device) -> int:
    """The largest `count` of any rank; what ragged rows are padded to before they are gathered."""
    if world_size() == 1:
        return count
    longest = torch.tensor(count, device=device)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    return int(longest)


def leave_process_group() -> None:
    """The last thing a process does that has trained beside others; without a group it does nothing.

    DDP must be gone before: were its reducer the last to hold a gloo group, freeing it would wait for gloo's thread
    with Python's lock in hand, and that thread may want the lock to free the tensors of the last all-reduce.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()  # a trainer and its model are cycles
        dist.destroy_process_group()
