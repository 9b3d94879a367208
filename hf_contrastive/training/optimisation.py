"""Parameters that are stepped apart: a new head, and samplers that learn."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hf_contrastive.negatives import NegativeSampler


def move_to_own_group(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], **options: Any) -> None:
    """Take `parameters` out of the optimizer's groups and give them one of their own with `options`."""
    moved = {id(p) for p in parameters}
    for group in optimizer.param_groups:
        group["params"] = [p for p in group["params"] if id(p) not in moved]
    optimizer.add_param_group({"params": list(parameters), **options})


def add_learned_groups(optimizer: torch.optim.Optimizer, negatives: NegativeSampler) -> list[NegativeSampler]:
    """Give each learned sampler in `negatives` a group with its own options; returns these samplers."""
    learned = negatives.learned()
    for sampler in learned:
        move_to_own_group(optimizer, list(sampler.parameters()), **(sampler.optimizer_options or {}))
    return learned


def update_learned(samplers: Sequence[NegativeSampler], step: int) -> None:
    """Before an optimizer step: clip each sampler's own gradient, or leave it out of a step it does not learn in."""
    for sampler in samplers:
        parameters = list(sampler.parameters())
        if step % sampler.update_every:
            for parameter in parameters:
                parameter.grad = None  # a gradient of zero would still move it, by momentum
        elif sampler.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(parameters, sampler.max_grad_norm)
