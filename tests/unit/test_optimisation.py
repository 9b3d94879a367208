"""Groups of parameters that are stepped apart: what they keep and what they get."""

from typing import Any

import pytest
import torch
from contexts import told
from torch import nn

from hf_contrastive.training.optimisation import add_learned_groups, move_to_own_group


def optimizer_of(body: nn.Linear, head: nn.Linear, decay: float) -> torch.optim.Optimizer:
    """As the Trainer makes it: weights decay by what the run says, biases do not."""
    groups = [
        {"params": [body.weight, head.weight], "weight_decay": decay},
        {"params": [body.bias, head.bias], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3)


def settings(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> tuple[float, float]:
    """Learning rate and weight decay of the one group that has the parameter."""
    (group,) = [group for group in optimizer.param_groups if any(p is parameter for p in group["params"])]
    return group["lr"], group["weight_decay"]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_what_is_moved_keeps_its_weight_decay(decay: float) -> None:
    body, head = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = optimizer_of(body, head, decay)
    move_to_own_group(optimizer, list(head.parameters()), lr=1e-2)
    assert settings(optimizer, head.weight) == (1e-2, decay) and settings(optimizer, head.bias) == (1e-2, 0.0)
    assert settings(optimizer, body.weight) == (1e-3, decay) and settings(optimizer, body.bias) == (1e-3, 0.0)


@pytest.mark.parametrize(("named", "expected"), [({}, 0.0), ({"weight_decay": 0.3}, 0.3)], ids=str)
@pytest.mark.parametrize("known", [True, False])
def test_samplers_decay_by_what_they_name_or_not_at_all(named: dict[str, Any], expected: float, known: bool) -> None:
    body, sampler = nn.Linear(2, 2), told(3)
    sampler.map = nn.Linear(2, 2)
    sampler.optimizer_options = {"lr": 0.5, **named}
    optimizer = optimizer_of(body, sampler.map if known else nn.Linear(2, 2), 0.1)
    assert add_learned_groups(optimizer, sampler) == [sampler]
    assert all(settings(optimizer, parameter) == (0.5, expected) for parameter in sampler.parameters())
