"""The row-wise optimizer against a loop over rows, under sparse and dense gradients, and torch's AdamW beside it."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_contrastive.training.rows import RowOptimizer, sum_over_ranks, summed_rows

V, D = 6, 3


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sparse(rows: list[int], values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(torch.tensor([rows], dtype=torch.long), values, (V, D), check_invariants=True)


# Rows that a step looks up; repeated, in any order, or none.
STEPS = [[1, 4, 2, 1, 1], [4], [], [5, 0, 5, 4, 2, 0], [4, 1], [2], [4, 0]]
NO_MATTER = [(2, 0), (2, 3), (2, 5), (4, 3), (0, 6)]  # with a gradient of zero


def gradients() -> list[Tensor]:
    made = []
    for number, rows in enumerate(STEPS):
        values = random(len(rows), D, seed=10 + number)
        values[[(row, number) in NO_MATTER for row in rows]] = 0.0
        made.append(sparse(rows, values))
    return made


def by_hand(table: list[list[float]], lr: float, rule: str, decay: float, epsilon: float) -> list[list[float]]:
    """Every row on its own, in Python's float64."""
    square, times = [[0.0] * D for _ in range(V)], [0] * V
    for number, (rows, gradient) in enumerate(zip(STEPS, gradients(), strict=True)):
        total = gradient.to_dense().double()
        for row in [row for row in set(rows) if (row, number) not in NO_MATTER]:
            g = total[row].tolist()
            times[row] += 1
            if rule == "adagrad":  # number by number
                square[row] = [old + x * x for old, x in zip(square[row], g, strict=True)]
                roots = [math.sqrt(x) for x in square[row]]
            else:  # one number a row
                now = sum(x * x for x in g) / D
                square[row] = [decay * square[row][0] + (1 - decay) * now] * D
                roots = [math.sqrt(square[row][0] / (1 - decay ** times[row]))] * D
            table[row] = [w - lr * x / (root + epsilon) for w, x, root in zip(table[row], g, roots, strict=True)]
    return table


@pytest.mark.parametrize("rule", ["rmsprop", "adagrad"])
@pytest.mark.parametrize(("lr", "decay", "epsilon"), [(0.1, 0.99, 0.3), (0.5, 0.5, 1e-6), (0.2, 0.0, 1.0)])
def test_steps_are_those_of_a_loop_over_rows(lr: float, decay: float, epsilon: float, rule: str) -> None:
    table = torch.nn.Parameter(random(V, D, seed=1))
    expected = by_hand(table.tolist(), lr, rule, decay, epsilon)
    optimizer = RowOptimizer([{"params": [table], "rows": True}], lr, rule, decay, epsilon)
    for gradient in gradients():
        table.grad = gradient
        optimizer.step()
        assert table.grad is None
    torch.testing.assert_close(table.detach(), torch.tensor(expected), rtol=1e-5, atol=1e-6)
    assert torch.equal(table[2:4], random(V, D, seed=1)[2:4])
    if rule == "rmsprop":
        times = optimizer.state[table]["steps"].flatten().tolist()
        assert times == [1, 2, 0, 0, 4, 1]  # the number of times it mattered


@pytest.mark.parametrize("rule", ["rmsprop", "adagrad"])
def test_a_dense_gradient_is_one_that_touches_every_row(rule: str) -> None:
    tables = [torch.nn.Parameter(random(V, D, seed=1)) for _ in range(2)]
    optimizers = [RowOptimizer([{"params": [table], "rows": True}], rule=rule) for table in tables]
    for step in range(4):
        gradient = random(V, D, seed=20 + step)
        halves = [gradient * share for share in (0.25, 0.75)]
        tables[0].grad = gradient.clone()
        tables[1].grad = sparse([*range(V), *range(V)], torch.cat(halves))
        for optimizer in optimizers:
            optimizer.step()
        assert torch.allclose(*tables, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(tables[0], random(V, D, seed=1), atol=0.1)


def test_other_parameters_are_adamws() -> None:
    """Weight decay 0 unless a group has its own; each group its learning rate."""
    table, *others = [torch.nn.Parameter(random(V, D, seed=seed)) for seed in range(3)]
    twins = [torch.nn.Parameter(p.detach().clone()) for p in others]
    options: list[dict[str, Any]] = [{"lr": 0.01}, {"lr": 0.05, "weight_decay": 0.3, "betas": (0.5, 0.9)}]
    ours = RowOptimizer([{"params": [table], "rows": True}, {"params": [others[0]], **options[0]}], lr=1.0)
    ours.add_param_group({"params": [others[1]], **options[1]})
    defaults = {"weight_decay": 0.0}
    theirs = torch.optim.AdamW([{"params": [twin], **defaults, **o} for twin, o in zip(twins, options, strict=True)])
    for step in range(5):
        table.grad = sparse([step], torch.ones(1, D))
        for mine, twin in zip(others, twins, strict=True):
            if step != 2:  # a step without a gradient leaves a parameter alone
                mine.grad = random(V, D, seed=30 + step)
                twin.grad = mine.grad.clone()
        ours.step()
        theirs.step()
        ours.zero_grad(), theirs.zero_grad()
    assert all(torch.equal(mine, twin) for mine, twin in zip(others, twins, strict=True))
    assert not torch.equal(others[0], random(V, D, seed=1))


def test_hooks_are_called_once_whatever_optimizers_were_made_before() -> None:
    """torch wraps the step of each class that is used, hooks and all, that of a base class too."""
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    table, calls = torch.nn.Parameter(random(V, D, seed=1)), []
    optimizer = RowOptimizer([{"params": [table], "rows": True}])
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    optimizer.step()
    assert calls == ["before", "after"]


def test_state_dict_round_trip_goes_on_as_if_nothing_had_happened() -> None:
    def start() -> tuple[list[torch.nn.Parameter], RowOptimizer]:
        parameters = [torch.nn.Parameter(random(V, D, seed=seed)) for seed in range(2)]
        groups = [{"params": parameters[:1], "rows": True}, {"params": parameters[1:], "lr": 0.01}]
        return parameters, RowOptimizer(groups, lr=0.2)

    def run(parameters: list[torch.nn.Parameter], optimizer: RowOptimizer, steps: range) -> None:
        for step in steps:
            parameters[0].grad, parameters[1].grad = gradients()[step], random(V, D, seed=step)
            optimizer.step()

    whole, optimizer = start()
    run(whole, optimizer, range(6))
    first, before = start()
    run(first, before, range(3))
    saved = before.state_dict()
    second, after = start()
    for parameter, value in zip(second, first, strict=True):
        parameter.data = value.data.clone()
    after.param_groups[0]["lr"] = 9.0  # is in the state
    after.load_state_dict(saved)
    run(second, after, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))
    assert not torch.equal(first[0], second[0])


def test_the_learning_rate_is_read_anew_at_each_step() -> None:
    table = torch.nn.Parameter(random(V, D, seed=1))
    optimizer = RowOptimizer([{"params": [table], "rows": True}], lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.0
    table.grad = random(V, D, seed=2)
    optimizer.step()
    assert torch.equal(table, random(V, D, seed=1))


def test_a_closure_gives_the_loss() -> None:
    table = torch.nn.Parameter(random(V, D, seed=1))
    optimizer = RowOptimizer([{"params": [table], "rows": True}])

    def closure() -> Tensor:
        loss = table.square().sum()
        loss.backward()
        return loss

    before = table.detach().square().sum()
    assert optimizer.step(closure) == before > table.square().sum()


@pytest.mark.parametrize(
    "options", [{"lr": -1.0}, {"decay": 1.0}, {"decay": -0.1}, {"epsilon": 0.0}, {"lr": float("nan")}], ids=str
)
def test_refuses_settings_out_of_range(options: dict) -> None:
    with pytest.raises(ValueError, match="must be >= 0, decay .* in \\[0, 1\\), epsilon .* greater than 0"):
        RowOptimizer([{"params": [torch.nn.Parameter(torch.zeros(1, 1))]}], **options)
    with pytest.raises(ValueError, match="rule must be one of rmsprop, adagrad, got 'sgd'"):
        RowOptimizer([{"params": [torch.nn.Parameter(torch.zeros(1, 1))]}], rule="sgd")


@settings(deadline=None)
@given(st.lists(st.integers(0, V - 1), max_size=20))
def test_summed_rows_are_what_coalesce_makes(rows: list[int]) -> None:
    gradient = sparse(rows, random(len(rows), D, seed=len(rows)))
    found, sums = summed_rows(gradient)
    expected = gradient.coalesce()
    assert torch.equal(found, expected.indices()[0])
    torch.testing.assert_close(sums, expected.values(), rtol=1e-5, atol=1e-6)


def test_one_process_has_nothing_to_sum() -> None:
    table = torch.nn.Parameter(random(V, D, seed=1))
    sum_over_ranks([table])
    assert table.grad is None
    table.grad = gradients()[0]
    sum_over_ranks([table])
    assert torch.equal(table.grad.to_dense(), gradients()[0].to_dense())
