"""The cache of hard negatives: it hardens, keeps out false negatives, and survives what a run does to it."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from contexts import bank_context

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import CachedNegatives, Context, Joined, QueueNegatives, build_sampler
from hf_contrastive.training.build import warn_of_short_caches

B, BANK, WIDTH = 5, 200, 8
OPTIONS = {"k": 6, "cache_size": 8, "candidates": 12, "slots": 64, "temperature": 0.02}


def at(generator_seed: int, **replaced) -> Context:
    """Always the same table, other draws."""
    return bank_context(B, BANK, WIDTH, **{"generator": torch.Generator().manual_seed(generator_seed), **replaced})


def similarities(context: Context) -> torch.Tensor:
    return context.anchors @ context.candidates.parts[1].T


def cached_similarity(sampler: CachedNegatives, context: Context) -> torch.Tensor:
    return similarities(context).gather(1, sampler.cache[:B]).mean(1)


def test_cached_rows_become_the_hardest_of_the_bank() -> None:
    sampler, seen = CachedNegatives(**OPTIONS), []
    for step in range(120):
        sampler.sample(at(step))
        seen.append(cached_similarity(sampler, at(0)))
    every_ten = torch.stack(seen[::10])
    # Gumbel noise of 0.02 may let a row slip; over ten steps the mean does not fall.
    assert (every_ten[1:] > every_ten[:-1] - 0.02).all()
    hardest = similarities(at(0)).topk(8).values.mean(1)
    assert ((hardest - seen[0]) > 5 * (hardest - seen[-1])).all()


def test_a_cache_holds_each_row_once() -> None:
    sampler = CachedNegatives(**OPTIONS)
    for step in range(60):
        sampler.sample(bank_context(B, 12, WIDTH, generator=torch.Generator().manual_seed(step)))
    assert all(len(set(cache)) == 8 for cache in sampler.cache[:B].tolist())


@pytest.mark.parametrize("mask_duplicates", [True, False])
def test_false_negatives_are_not_kept_when_there_are_others(mask_duplicates: bool) -> None:
    keys = at(0).candidate_keys
    for anchor, nearest in enumerate(similarities(at(0)).topk(20).indices):
        keys[B + nearest] = 100 + anchor  # the text of the anchor's positive
    sampler = CachedNegatives(**OPTIONS, mask_duplicates=mask_duplicates)
    for step in range(40):
        sampler.sample(at(step, candidate_keys=keys))
    kept = keys[B + sampler.cache[:B]] == torch.arange(100, 100 + B).unsqueeze(1)
    assert kept.any() != mask_duplicates


def test_proposals_are_rows_of_the_own_cache_before_it_is_renewed() -> None:
    sampler = CachedNegatives(**OPTIONS)
    sampler.sample(at(0))
    before = sampler.cache[:B].clone()
    proposed = sampler.sample(at(1))
    assert proposed.ids.shape == (B, 6) and sampler.sample(at(1), k=2).ids.shape == (B, 2)
    assert all(set(ids.tolist()) <= set((own + B).tolist()) for ids, own in zip(proposed.ids, before, strict=True))
    assert not torch.equal(sampler.cache[:B], before)
    assert (sampler.cache[B:] == -1).all()


def test_keys_choose_the_slot_and_may_be_negative() -> None:
    keys = torch.tensor([-1, -(2**63), 2**63 - 1, 70, 3])
    sampler = CachedNegatives(**OPTIONS)
    sampler.sample(at(0, anchor_keys=keys))
    filled = (sampler.cache >= 0).all(1).nonzero().flatten().tolist()
    assert filled == sorted({key % 64 for key in keys.tolist()})


def test_measuring_leaves_the_cache_alone() -> None:
    sampler = CachedNegatives(**OPTIONS)
    sampler.sample(at(0))
    before = sampler.cache.clone()
    sampler.eval().sample(at(1))
    assert torch.equal(sampler.cache, before)


def test_goes_on_where_its_state_was_taken() -> None:
    sampler, other = CachedNegatives(**OPTIONS), CachedNegatives(**OPTIONS)
    sampler.sample(at(0))
    other.load_state_dict(sampler.state_dict())
    assert torch.equal(sampler.sample(at(1)).ids, other.sample(at(1)).ids)
    assert torch.equal(sampler.cache, other.cache)


@pytest.mark.parametrize("bank", [1, 3, BANK + 50])
def test_a_bank_of_another_size_is_read_within_its_bounds(bank: int) -> None:
    sampler = CachedNegatives(**OPTIONS)
    sampler.sample(at(0))
    proposed = sampler.sample(bank_context(B, bank, WIDTH))
    assert proposed.ids.min() >= B and proposed.ids.max() < B + bank
    assert sampler.cache[:B].max() < bank


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"cache_size": 0}, "cache_size must be positive, got 0"),
        ({"temperature": 0.0}, "temperature must be greater than 0, got 0.0"),
    ],
)
def test_refuses_sizes_that_are_not_positive(option: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_sampler({"name": "cached", **option})


def test_of_anchors_with_one_slot_the_last_one_is_kept() -> None:
    """Anchors 1 and 3 share slot 1 of two; what is written must not depend on the order a device writes in."""
    context = at(0, anchor_keys=torch.tensor([0, 1, 2, 3, 4]))
    shared, alone = CachedNegatives(**OPTIONS | {"slots": 2}), CachedNegatives(**OPTIONS | {"slots": 64})
    shared.sample(context)
    alone.sample(at(0, anchor_keys=torch.tensor([0, 1, 2, 3, 4])))
    assert torch.equal(shared.cache[1], alone.cache[3]) and torch.equal(shared.cache[0], alone.cache[4])


def test_rows_that_hold_another_candidate_now_are_drawn_anew() -> None:
    """A ring of sentences is overwritten: what was hard to one of them says nothing of the next."""
    sampler, keys = CachedNegatives(**OPTIONS), at(0).candidate_keys
    for step in range(60):
        sampler.sample(at(step))
    overwritten = keys.clone()
    gone = sampler.cache[:B, ::2].flatten().unique()
    overwritten[B + gone] += 10_000
    before = sampler.cache[:B].clone()
    sampler.eval()
    proposed = torch.cat([sampler.sample(at(s, candidate_keys=overwritten), k=500).ids - B for s in range(3)], 1)
    for own, ids in zip(before, proposed, strict=True):
        kept = [row for row in own.tolist() if row not in gone]
        share = torch.isin(ids, torch.tensor(kept)).float().mean().item() if kept else 0.0
        assert share == pytest.approx(len(kept) / 8, abs=0.08)  # each place of a cache is drawn alike
        # Fresh random rows each time instead of the four or more that were overwritten.
        others = ids[~torch.isin(ids, torch.tensor(kept, dtype=torch.long))]
        assert len(others.unique()) > 8
    other = CachedNegatives(**OPTIONS)
    other.load_state_dict(sampler.state_dict())
    again, first = (s.eval().sample(at(7, candidate_keys=overwritten)).ids for s in (other, sampler))
    assert torch.equal(again, first)


def test_a_cache_of_a_ring_that_turns_is_renewed_with_what_the_ring_holds() -> None:
    sampler, keys = CachedNegatives(**OPTIONS), at(0).candidate_keys
    for step in range(30):
        turned = keys + 10_000 * step
        sampler.sample(at(step, candidate_keys=turned))
        assert torch.equal(sampler.keys[:B], turned[B + sampler.cache[:B]])


@pytest.mark.parametrize(("rows", "warned"), [(100, False), (101, True)])
def test_a_bank_too_small_for_caches_to_last_is_told(
    caplog: pytest.LogCaptureFixture, rows: int, warned: bool
) -> None:
    bank: Any = SimpleNamespace(bank=range(200))
    queue = QueueNegatives()
    with caplog.at_level(logging.WARNING, "hf_contrastive"):
        for negatives in (queue, Joined([queue, CachedNegatives(slots=4)])):
            model: Any = SimpleNamespace(contrast=bank, negatives=negatives)
            warn_of_short_caches(model, rows)
    assert len(caplog.messages) == warned
    assert not warned or "a bank of 200 sentences" in caplog.text and "bank_size to 202 or more" in caplog.text
