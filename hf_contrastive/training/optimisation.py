"""Parameters that are stepped apart: a new head, and samplers that learn."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hf_contrastive.negatives import NegativeSampler


def move_to_own_group(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor], **options: Any) -> None:
    """Take `parameters` out of the optimizer's groups and give them groups of their own with `options`.

    Each keeps its weight decay, or has none where it had no group, unless the options name one: the default of an
    optimizer's class (AdamW: 0.01) is not what a run asked for.
    """
    moved = {id(p) for p in parameters}
    decays: dict[int, float] = {}
    for group in optimizer.param_groups:
        decays |= {id(p): group.get("weight_decay", 0.0) for p in group["params"] if id(p) in moved}
        group["params"] = [p for p in group["params"] if id(p) not in moved]
    groups: dict[float, list[Tensor]] = {}
    for parameter in parameters:
        groups.setdefault(options.get("weight_decay", decays.get(id(parameter), 0.0)), []).append(parameter)
    for decay, together in groups.items():
        optimizer.add_param_group({"params": together, **options, "weight_decay": decay})


def add_learned_groups(optimizer: torch.optim.Optimizer, negatives: NegativeSampler) -> list[NegativeSampler]:
    """Give each learned sampler in `negatives` a group with its own options; returns these samplers.

    Weight decay is 0 where a sampler names none.
    """
    learned = negatives.learned()
    for sampler in learned:
        options = {"weight_decay": 0.0} | (sampler.optimizer_options or {})
        move_to_own_group(optimizer, list(sampler.parameters()), **options)
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
