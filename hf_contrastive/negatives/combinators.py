"""Samplers made of samplers."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hf_contrastive.negatives.known import KnownPairs
from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler
from hf_contrastive.negatives.registry import register
from hf_contrastive.negatives.self_adversarial import similarity


class Joined(NegativeSampler):
    """The pools of several samplers side by side: what a list under `negatives:` means.

    Args:
        parts: samplers whose pools are joined.
    """

    def __init__(self, parts: Sequence[NegativeSampler]) -> None:
        super().__init__()
        if not parts:
            raise ValueError("parts must name at least one sampler")
        self.parts = nn.ModuleList(parts)
        self.needs = frozenset().union(*(part.needs for part in parts))
        self.gives_log_q = any(part.gives_log_q for part in parts)

    def shares(self, step: int) -> list[float]:
        """The factor of each part's weights at an optimizer step; a part with 0 is not asked."""
        return [1.0] * len(self.parts)

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """Every part's pool, side by side; `k` goes to each part."""
        trace = []
        for part, share in zip(self.parts, self.shares(context.step), strict=True):
            if share > 0:
                trace.append((part, share, part.sample(context, k)))  # type: ignore[operator]
        return join([pool for *_, pool in trace], trace)

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        """Every part's weights times its share, side by side; `None` where all are 1."""
        weights: list[tuple[Tensor | None, float, Negatives]] = [
            (part.weigh(pool, context), share, pool) for part, share, pool in self._pools(negatives)
        ]
        if all(weight is None and share == 1 for weight, share, _ in weights):
            return None
        filled = [
            share * (torch.ones_like(pool.mask, dtype=torch.float32) if weight is None else weight)
            for weight, share, pool in weights
        ]
        return torch.cat(filled, dim=1)

    def feedback(self, negatives: Negatives, reward: Tensor) -> Tensor | None:
        """The sum of the parts' losses, each fed with the reward of its own columns."""
        pools = self._pools(negatives)
        rewards = reward.split([pool.mask.shape[1] for *_, pool in pools], dim=1)
        losses = [part.feedback(pool, own) for (part, _, pool), own in zip(pools, rewards, strict=True)]
        losses += self._off_policy(pools, rewards)
        learned = [loss for loss in losses if loss is not None]
        return torch.stack(learned).sum() if learned else None

    @staticmethod
    def _pools(negatives: Negatives) -> list[tuple[Any, float, Negatives]]:
        """Each part that was asked, its share, and its pool with what a filter around this sampler left usable."""
        masks = negatives.mask.split([pool.mask.shape[1] for *_, pool in negatives.trace], dim=1)
        return [
            (part, share, replace(pool, mask=mask))
            for (part, share, pool), mask in zip(negatives.trace, masks, strict=True)
        ]

    @staticmethod
    def _off_policy(pools: Sequence[tuple[Any, float, Negatives]], rewards: Sequence[Tensor]) -> list[Tensor]:
        """What learned parts that want to learn from the draws of the others too make of them."""
        inner = [(_unwrapped(part), pool) for part, _, pool in pools]
        learners = [(part, pool) for part, pool in inner if getattr(part, "off_policy", False)]
        drawn = [
            (pool, own) for (_, _, pool), own in zip(pools, rewards, strict=True) if pool.positive_log_q is not None
        ]
        return [part.learn_from(own, noise, reward) for part, own in learners for noise, reward in drawn]


def _unwrapped(part: Any) -> Any:
    """The sampler inside filters and weights, whose proposals carry its own trace."""
    while isinstance(getattr(part, "part", None), NegativeSampler):
        part = part.part
    return part


@register("mixture")
class Mixture(Joined):
    """Several samplers with shares that sum to 1: ACE's `lambda E_noise + (1 - lambda) E_generator`.

    The share multiplies the weights a part's proposals have in the objective. The first part has share lambda, the
    others have what is left in equal parts. A part whose share is 0 is not asked: with lambda = 1 a step is the first
    sampler's own, bit for bit.

    Args:
        parts: at least two samplers.
        lambda_: a number in [0, 1], or a schedule `{start, end, begin, steps}`: `start` until optimizer step
            `begin`, then along a line to `end` within `steps` steps. In a recipe the key is `lambda`.
    """

    def __init__(self, parts: Sequence[NegativeSampler], lambda_: float | dict[str, float] = 0.5) -> None:
        super().__init__(parts)
        if len(parts) < 2:
            raise ValueError("parts must name at least two samplers")
        schedule = {"start": lambda_, "end": lambda_} if not isinstance(lambda_, dict) else dict(lambda_)
        if set(schedule) - {"start", "end", "begin", "steps"} or not {"start", "end"} <= set(schedule):
            raise ValueError(f"lambda must be a number or have the keys start, end, begin, steps; got {lambda_!r}")
        for name in ("start", "end"):
            if not isinstance(schedule[name], int | float) or not 0 <= schedule[name] <= 1:
                raise ValueError(f"lambda must be in [0, 1], got {schedule[name]!r}")
        self.schedule: dict[str, Any] = {"begin": 0, "steps": 0, **schedule}
        for name in ("begin", "steps"):
            if not isinstance(self.schedule[name], int | float) or not self.schedule[name] >= 0:
                raise ValueError(f"{name} of lambda must be a number of steps, got {self.schedule[name]!r}")
        # Where one side has the whole share it is asked alone, and an objective must do with what it gives.
        ends = (self.schedule["start"], self.schedule["end"])
        first, others = parts[0].gives_log_q, any(part.gives_log_q for part in parts[1:])
        self.gives_log_q = (first or others) and (first or 1 not in ends) and (others or 0 not in ends)

    def lambda_at(self, step: int) -> float:
        """The first part's share at an optimizer step."""
        start, end, begin, steps = (self.schedule[key] for key in ("start", "end", "begin", "steps"))
        way = min(max((step - begin) / steps, 0.0), 1.0) if steps else float(step >= begin)
        return start + way * (end - start)

    def shares(self, step: int) -> list[float]:
        """Lambda, and what is left of 1 in equal parts."""
        first = self.lambda_at(step)
        others = len(self.parts) - 1
        return [first, *[(1 - first) / others] * others]


@register("filtered")
class Filtered(NegativeSampler):
    """Another sampler's proposals without false negatives.

    Args:
        part: whose proposals are filtered.
        known: pairs known to be positive; in a recipe a file of sentence pairs.
        guide_margin: also leave out what is more similar to the anchor than its positive minus this margin
            (GISTEmbed: Solatorio, 2024); the guide is the encoder itself.
    """

    def __init__(
        self, part: NegativeSampler, known: KnownPairs | None = None, guide_margin: float | None = None
    ) -> None:
        super().__init__()
        if known is None and guide_margin is None:
            raise ValueError("give known positives, a guide_margin, or both")
        if isinstance(known, str):
            raise ValueError(f"known: only sentences have files of known pairs, got {known!r}; leave it out")
        self.part = part
        self.known = known
        self.guide_margin = guide_margin
        self.needs = part.needs
        self.gives_log_q = part.gives_log_q

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """What the part proposes, with more of it masked."""
        negatives = self.part.sample(context, k)
        mask = negatives.mask
        if self.known is not None:
            if context.anchor_keys is None or context.candidate_keys is None:
                raise ValueError("known positives are compared by key, but this task gives its candidates none")
            keys = context.candidate_keys[negatives.ids]
            mask = mask & ~self.known.contain(context.anchor_keys, keys.unsqueeze(0) if keys.dim() == 1 else keys)
        if self.guide_margin is not None:
            mask = mask & (similarity(context, negatives) <= _least_positive(context) - self.guide_margin)
        self.figures = {"filtered": (negatives.mask & ~mask).float().sum(1).mean()}
        negatives.mask = mask
        return negatives

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        """The part's own, which sees the narrowed mask."""
        return self.part.weigh(negatives, context)

    def feedback(self, negatives: Negatives, reward: Tensor) -> Tensor | None:
        """The part's own, which sees the narrowed mask."""
        return self.part.feedback(negatives, reward)


def _least_positive(context: Context) -> Tensor:
    """`similarity` [B, 1] of each anchor with its positive, the least similar one where it has several."""
    ids = context.positive_ids.unsqueeze(1) if context.positive_ids.dim() == 1 else context.positive_ids
    there = ids.clamp(min=0)
    if context.score is not None:
        scores = context.score(there)
    else:
        scores = torch.einsum("bd,bwd->bw", context.anchors, context.vectors(there))
    return scores.masked_fill(ids < 0, torch.inf).amin(1, keepdim=True)


def join(pools: Sequence[Negatives], trace: Any = None) -> Negatives:
    """Pools side by side; ids are expanded to [B, P] where some pool is each anchor's own."""
    rows = len(pools[0].mask)
    each = any(pool.ids.dim() == 2 for pool in pools)
    ids = [pool.ids.expand(rows, -1) if each and pool.ids.dim() == 1 else pool.ids for pool in pools]
    fresh = [pool.fresh for pool in pools if pool.fresh is not None]
    return Negatives(
        torch.cat(ids, dim=-1),
        torch.cat([pool.mask for pool in pools], dim=1),
        log_q=_join_log_q(pools),
        positive_log_q=_join_positive_log_q(pools),
        fresh=torch.cat(fresh) if fresh else None,
        blocks=tuple(block for pool in pools for block in pool.pools()),
        trace=trace,
    )


def _join_log_q(pools: Sequence[Negatives]) -> Tensor | None:
    """Log probabilities of one draw out of all columns: a column there for certain has 1 / P."""
    if all(pool.log_q is None for pool in pools):
        return None
    total = sum(pool.mask.shape[1] for pool in pools)
    columns = []
    for pool in pools:
        width = pool.mask.shape[1]
        inside = pool.log_q if pool.log_q is not None else torch.tensor(-math.log(width), device=pool.mask.device)
        columns.append(inside.expand(pool.mask.shape).float() + math.log(width / total))
    return torch.cat(columns, dim=1)


def _join_positive_log_q(pools: Sequence[Negatives]) -> Tensor | None:
    drawn = [(pool.positive_log_q, pool.mask.shape[1]) for pool in pools if pool.positive_log_q is not None]
    if not drawn:
        return None
    total = sum(pool.mask.shape[1] for pool in pools)
    return torch.stack([log_q + math.log(width / total) for log_q, width in drawn]).logsumexp(0)
