"""Optimizing tables of which a step touches few rows: words, entities, concepts."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hf_contrastive.arguments import ROW_RULES
from hf_contrastive.training.distributed import world_size


class RowOptimizer(torch.optim.AdamW):
    """Sparse steps for tables; AdamW for all other parameters.

    A row with summed gradient g moves by `lr * g / (r + epsilon)`. Under `rmsprop` r is one number a row, the root of
    a moving average of its mean squared gradient over the steps that touched it (Tieleman and Hinton, 2012; one
    accumulator a row as in FBGEMM's row-wise optimizers; the average's start is corrected as in Adam): frequent rows
    take normalised steps, whatever the batch size. Under `adagrad` r is the root of the sum of squared gradients,
    number by number (Duchi et al., 2011), as link prediction wants it. Under `adam` every step moves every row, as
    AdamW itself does it: momentum carries rows on through the steps that do not touch them, so rare rows keep up with
    frequent ones, at the price of going through whole tables.

    Args:
        params: groups; those with `rows: True` hold tables [V, D], whose gradients may be sparse.
        lr: step size.
        rule: `rmsprop`, `adagrad` or `adam`.
        decay: of rmsprop's moving average, a step that touches the row.
        epsilon: keeps early, tiny gradients from counting like large ones; in units of the gradient of a loss that is
            a sum over pairs.
        kwargs: of AdamW.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 0.1,
        rule: str = "rmsprop",
        decay: float = 0.99,
        epsilon: float = 0.3,
        **kwargs: Any,
    ) -> None:
        if rule not in ROW_RULES:
            raise ValueError(f"rule must be one of {', '.join(ROW_RULES)}, got {rule!r}")
        if not lr >= 0 or not 0 <= decay < 1 or not epsilon > 0:
            raise ValueError(f"lr {lr} must be >= 0, decay {decay} in [0, 1), epsilon {epsilon} greater than 0")
        self.rule, self.decay, self.epsilon = rule, decay, epsilon
        self._dense: dict[nn.Parameter, Tensor] = {}  # of each table a gradient of zeros, to be filled in a step
        whole = {"fused": True, "eps": epsilon} if rule == "adam" else {}
        groups = [{**whole, **group} if group.get("rows") else group for group in params]
        super().__init__(groups, lr=lr, weight_decay=0.0, **kwargs)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every row that has a gradient, and of every other parameter."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        filled: list[tuple[nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            for parameter in group["params"] if group.get("rows") else ():
                if parameter.grad is None:
                    continue
                if self.rule != "adam":
                    self._update(parameter, parameter.grad, group["lr"])
                    parameter.grad = None  # AdamW has nothing to do with it
                elif parameter.grad.is_sparse:
                    rows, values = parameter.grad._indices()[0], parameter.grad._values()
                    if parameter not in self._dense:
                        self._dense[parameter] = torch.zeros_like(parameter)
                    parameter.grad = self._dense[parameter].index_add_(0, rows, values)
                    filled.append((parameter, rows))
        # Without the wrapper that torch puts around a class's step when it is first used: hooks were called for ours.
        inspect.unwrap(torch.optim.AdamW.step)(self)
        for parameter, rows in filled:  # a table of zeros made anew in every step would cost as much as the update
            self._dense[parameter].index_fill_(0, rows, 0)
            parameter.grad = None
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        # AdamW's own looks for its step count in the state of every parameter; tables have one a row.
        torch.optim.Optimizer.__setstate__(self, state)

    def _update(self, parameter: Tensor, gradient: Tensor, lr: float) -> None:
        rows, grad = summed_rows(gradient) if gradient.is_sparse else (None, gradient)
        rule = self._adagrad if self.rule == "adagrad" else self._rmsprop
        root = rule(self.state[parameter], parameter, rows, grad).add_(self.epsilon)
        if rows is None:
            parameter.addcdiv_(grad, root, value=-lr)
        else:
            parameter.index_add_(0, rows, grad.div_(root), alpha=-lr)

    def _adagrad(self, state: dict[str, Tensor], parameter: Tensor, rows: Tensor | None, grad: Tensor) -> Tensor:
        """r of every number, [U, D]."""
        if not state:
            state["square"] = torch.zeros_like(parameter)
        if rows is None:  # nothing is copied where every row is there
            return state["square"].addcmul_(grad, grad).sqrt()
        square = state["square"].index_select(0, rows).addcmul_(grad, grad)
        state["square"].index_copy_(0, rows, square)
        return square.sqrt_()

    def _rmsprop(self, state: dict[str, Tensor], parameter: Tensor, rows: Tensor | None, grad: Tensor) -> Tensor:
        """r of every row, [U, 1]."""
        if not state:
            state["square"] = torch.zeros(len(parameter), 1, device=parameter.device)
            state["steps"] = torch.zeros_like(state["square"])
        if rows is None:
            rows = torch.arange(len(grad), device=grad.device)
        now = grad.square().mean(1, keepdim=True)
        touched = now > 0  # a row that only pads, or was masked wherever it was looked up, has a gradient of zero
        square, steps = (state[name].index_select(0, rows) for name in ("square", "steps"))
        steps += touched
        square = torch.where(touched, square.lerp(now, 1 - self.decay), square)
        state["steps"].index_copy_(0, rows, steps)
        state["square"].index_copy_(0, rows, square)
        return square.div_(1 - self.decay ** steps.clamp_(min=1)).sqrt_()


def summed_rows(grad: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows [U] of a sparse gradient [V, D] and the sums [U, D] of their values.

    Faster than `coalesce`, which sorts: rows are marked in a table of flags, and values added where they belong.
    """
    indices, values = grad._indices()[0], grad._values()
    place = torch.zeros(grad.shape[0], dtype=torch.long, device=indices.device)
    place[indices] = 1
    rows = place.nonzero().squeeze(1)
    place[rows] = torch.arange(len(rows), device=rows.device)
    sums = torch.zeros(len(rows), values.shape[1], dtype=values.dtype, device=values.device)
    return rows, sums.index_add_(0, place[indices], values)


@torch.no_grad()
def sum_over_ranks(tables: Iterable[Tensor]) -> None:
    """Make every rank's gradients of `tables` the sum over all ranks; of sparse ones only rows travel.

    DDP leaves these parameters alone: NCCL adds up no sparse gradients, and a dense one of a large table is dear.
    """
    if world_size() == 1:
        return
    for table in tables:
        kind = 0 if table.grad is None else 1 if table.grad.is_sparse else 2
        most = torch.tensor(kind, device=table.device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        if most == 0:
            continue  # no rank has any
        if most == 2:
            grad = torch.zeros_like(table) if table.grad is None else table.grad.to_dense()
            dist.all_reduce(grad)
            table.grad = grad
            continue
        if table.grad is None:
            rows, values = torch.zeros(0, dtype=torch.long, device=table.device), table.new_zeros(0, table.shape[1])
        else:
            rows, values = summed_rows(table.grad)
        rows, values = _ragged_gather(rows), _ragged_gather(values)
        table.grad = torch.sparse_coo_tensor(rows.unsqueeze(0), values, table.shape, check_invariants=False)


def _ragged_gather(mine: Tensor) -> Tensor:
    """Rows [n, ...] of all ranks, n differing from rank to rank."""
    count = torch.tensor([len(mine)], device=mine.device)
    counts = [torch.zeros_like(count) for _ in range(world_size())]
    dist.all_gather(counts, count)
    sizes = [int(size) for size in counts]
    padded = mine.new_zeros(max(sizes), *mine.shape[1:])
    padded[: len(mine)] = mine
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
