"""What a step tells its samplers, and hears of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hf_contrastive.negatives import Negatives, NegativeSampler


def sampler_loss(
    negatives: NegativeSampler, proposed: Negatives, reward: Callable[[], Tensor], step: int
) -> Tensor | None:
    """A learned sampler's own loss, `None` where nothing is learned.

    Its parameters stay in the graph of steps in which it is not asked: DDP waits for all gradients.

    Args:
        proposed: by `negatives`, in this step.
        reward: [B, P], what each proposal alone would cost; called where some sampler is due.
        step: optimizer steps so far.
    """
    learned = negatives.learned()
    if not learned:
        return None
    loss = torch.stack([0.0 * parameter.sum() for parameter in negatives.parameters()]).sum()
    if any(step % sampler.update_every == 0 for sampler in learned):
        own = negatives.feedback(proposed, reward())
        loss = loss if own is None else loss + own
    return loss


def forget_figures(negatives: NegativeSampler) -> None:
    """Before a step: a sampler that is not asked in it has none."""
    for sampler in _samplers(negatives):
        sampler.figures = {}


def sampler_figures(negatives: NegativeSampler) -> dict[str, Tensor]:
    """What all samplers in here noted in this step; a name that is there already gets the sampler's number."""
    figures: dict[str, Tensor] = {}
    for number, sampler in enumerate(_samplers(negatives)):
        for name, value in sampler.figures.items():
            figures[name if name not in figures else f"{name}_{number}"] = value
    return figures


def remembered(
    score: Callable[[Tensor], Tensor] | None, pools: Sequence[Negatives], columns: Sequence[Tensor]
) -> Callable[[Tensor], Tensor]:
    """`Context.score` that knows the scores [B, P] of what was proposed and computes others."""
    known = [(pool.ids, column.detach()) for pool, column in zip(pools, columns, strict=True)]

    def lookup(ids: Tensor) -> Tensor:
        found = next((column for own, column in known if own is ids), None)
        if found is not None:
            return found
        assert score is not None
        return score(ids)

    return lookup


def _samplers(negatives: NegativeSampler) -> list[NegativeSampler]:
    return [module for module in negatives.modules() if isinstance(module, NegativeSampler)]
