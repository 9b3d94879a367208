"""Samplers where the model's own scores are not cosines."""

import math

import pytest
import torch
from contexts import bank_context, told
from torch import Tensor

from hf_contrastive.negatives import (
    CachedNegatives,
    Context,
    Filtered,
    Joined,
    Mixture,
    QueueNegatives,
    SelfAdversarial,
)

B = 3


def scored_context(seed: int = 0) -> tuple[Context, Tensor, list[Tensor]]:
    """A context with scores that no cosine gives, all scores [B, 13], and the ids that were asked about."""
    scores = 3 * torch.randn(B, 13, generator=torch.Generator().manual_seed(seed + 50))
    asked: list[Tensor] = []

    def score(ids: Tensor) -> Tensor:
        asked.append(ids)
        return scores.gather(1, ids.expand(B, -1))

    return bank_context(B, generator=torch.Generator().manual_seed(seed), score=score), scores, asked


def by_score(scores: Tensor, ids: Tensor, mask: Tensor, alpha: float) -> Tensor:
    """softmax(alpha * score) over the usable ones of each anchor, times their number."""
    weights = torch.zeros(mask.shape)
    for i in range(B):
        powers = [
            math.exp(alpha * scores[i, row].item()) * there
            for row, there in zip(ids.expand(B, -1)[i].tolist(), mask[i].tolist(), strict=True)
        ]
        weights[i] = torch.tensor([power / sum(powers) * mask[i].sum().item() for power in powers])
    return weights


@pytest.mark.parametrize("shared", [True, False])
def test_self_adversarial_weights_are_of_the_models_own_scores(shared: bool) -> None:
    context, scores, asked = scored_context()
    part = told(6, shared=shared, seed=4)
    sampler = SelfAdversarial(part, alpha=0.7)
    weights = sampler.weigh(sampler.sample(context), context)
    torch.testing.assert_close(weights, by_score(scores, part.ids, part.mask, 0.7))
    assert [ids.shape for ids in asked] == [part.ids.shape]


@pytest.mark.parametrize("around", [True, False], ids=["around a list", "inside a list"])
def test_the_models_own_scores_reach_a_list_of_samplers(around: bool) -> None:
    context, scores, asked = scored_context()
    parts = [told(2, seed=1), told(3, shared=False, seed=2)]
    first, second = (by_score(scores, part.ids, part.mask, 0.7) for part in parts)
    if around:  # one softmax over both pools
        sampler = SelfAdversarial(Joined(parts), alpha=0.7)
        both = torch.cat([part.ids.expand(B, -1) for part in parts], 1)
        expected = by_score(scores, both, torch.cat([part.mask for part in parts], 1), 0.7)
    else:
        sampler = Joined(
            [SelfAdversarial(parts[0], alpha=0.7), Mixture([SelfAdversarial(parts[1], 0.7), told(1)], 0.4)]
        )
        expected = torch.cat([first, 0.4 * second, torch.full((B, 1), 0.6)], 1)
    torch.testing.assert_close(sampler.weigh(sampler.sample(context), context), expected)
    assert [ids.shape for ids in asked] == [(2,), (B, 3)]  # pools that are shared are asked about once


def test_a_guide_compares_the_models_own_scores() -> None:
    context, scores, _ = scored_context()
    part = told(8, shared=False, seed=4)
    found = Filtered(part, guide_margin=0.5).sample(context).mask
    near = scores.gather(1, part.ids) <= scores.gather(1, context.positive_ids.unsqueeze(1)) - 0.5
    assert torch.equal(found, part.mask & near) and 0 < found.sum() < part.mask.sum()


@pytest.mark.parametrize("in_a_list", [True, False])
def test_caches_are_renewed_by_the_models_own_scores(in_a_list: bool) -> None:
    """Told the cosines they do as without; told others they do as for anchors that have those cosines."""

    def cache_after(turn: float, told_scores: bool) -> Tensor:
        cached = CachedNegatives(k=4, cache_size=5, candidates=6, slots=8)
        sampler = Joined([QueueNegatives(), cached]) if in_a_list else cached
        for step in range(4):
            context = bank_context(B, 30, generator=torch.Generator().manual_seed(step))
            anchors = context.anchors
            if told_scores:
                context.score = lambda ids, anchors=anchors, table=context.candidates: torch.einsum(
                    "bd,bkd->bk", turn * anchors, table[ids]
                )
            else:
                context.anchors = turn * anchors
            sampler.sample(context)
        return cached.cache

    same, turned = cache_after(1.0, True), cache_after(-1.0, True)
    assert torch.equal(same, cache_after(1.0, False)) and torch.equal(turned, cache_after(-1.0, False))
    assert not torch.equal(same, turned)


def test_caches_keep_the_best_where_scores_have_no_bound() -> None:
    """Distances of a thousand over a small temperature: repeats and false negatives still come last."""
    scores = -1000.0 - torch.arange(13.0)
    context = bank_context(B, score=lambda ids: scores[ids].expand(B, -1), generator=torch.Generator().manual_seed(0))
    context.candidate_keys[B] = 0  # the first of the bank, which scores best, has the text of anchor 0
    cached = CachedNegatives(k=1, cache_size=4, candidates=300, slots=8, temperature=0.01)
    cached.sample(context)
    assert [sorted(rows) for rows in cached.cache[:B].tolist()] == [[1, 2, 3, 4], [0, 1, 2, 3], [0, 1, 2, 3]]
