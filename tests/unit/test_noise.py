"""Draws from fixed distributions: the alias table by its own definition, the probabilities against closed forms."""

import math

import pytest
import torch
from contexts import bank_context, vocabulary_context
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from hf_contrastive.negatives import AliasTable, UniformNegatives, UnigramNegatives

WEIGHT = st.one_of(st.just(0.0), st.integers(1, 1000).map(float), st.floats(5e-324, 1.7e308))
COUNTS = torch.tensor([9, 1, 30, 0, 4, 6])


@settings(deadline=None)
@given(st.lists(WEIGHT, min_size=1, max_size=60).filter(any))
def test_the_table_holds_the_distribution(weights: list[float]) -> None:
    """Column j of V is drawn as itself with keep_j, else as alias_j: the shares must add up to the weights."""
    table = AliasTable(torch.tensor(weights, dtype=torch.float64))
    drawn = [0.0] * len(weights)
    for column, (keep, alias) in enumerate(zip(table.keep.tolist(), table.alias.tolist(), strict=True)):
        drawn[column] += keep / len(weights)
        drawn[alias] += (1 - keep) / len(weights)
    relative = [weight / max(weights) for weight in weights]
    expected = [weight / math.fsum(relative) for weight in relative]
    assert drawn == pytest.approx(expected, abs=1e-7)  # keep is float32
    assert table.probabilities.tolist() == pytest.approx(expected, rel=1e-12)
    assert not any(share for share, weight in zip(drawn, weights, strict=True) if weight == 0)


def test_draws_follow_the_table_and_leave_out_zeros() -> None:
    weights = torch.tensor([0.0, 3.0, 1e-3, 0.0, 1.0, 2.0])
    draws = AliasTable(weights).draw((300, 100), torch.Generator().manual_seed(0))
    assert draws.shape == (300, 100)
    frequent = torch.tensor([1, 4, 5])
    observed = torch.bincount(draws.flatten(), minlength=6)
    assert observed[[0, 3]].sum() == 0
    expected = weights[frequent].double() / weights[frequent].double().sum() * observed[frequent].sum()
    assert chisquare(observed[frequent].double(), expected).pvalue > 1e-3


@pytest.mark.parametrize(
    "weights", [[1.0, -1.0], [1.0, math.nan], [1.0, math.inf], [0.0, 0.0], [], [[1.0, 2.0]]], ids=str
)
def test_refuses_what_is_no_distribution(weights: list) -> None:
    with pytest.raises(ValueError, match="weights must be finite, not negative, and not all zero"):
        AliasTable(torch.tensor(weights))


@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_unigram_log_q_is_the_closed_form(power: float, shared: bool) -> None:
    positives = torch.tensor([2, 0])
    context = vocabulary_context(COUNTS, positives)
    proposed = UnigramNegatives(k=40, power=power, shared=shared).sample(context)
    total = sum(count**power for count in COUNTS.tolist())
    log_p = [math.log(count**power / total) if count**power else -math.inf for count in COUNTS.tolist()]
    assert proposed.ids.shape == ((40,) if shared else (2, 40))
    assert proposed.log_q is not None and proposed.positive_log_q is not None
    drawn = proposed.ids.flatten().tolist()
    assert proposed.log_q.flatten().tolist() == pytest.approx([log_p[word] for word in drawn], rel=1e-6)
    assert proposed.positive_log_q.tolist() == pytest.approx([log_p[2], log_p[0]], rel=1e-6)
    assert (3 in drawn) == (power == 0)
    # In a pool that is shared, a draw is left out for the anchor whose positive it is only.
    assert torch.equal(proposed.mask, proposed.ids.expand(2, 40) != positives.unsqueeze(1))


@pytest.mark.parametrize("shared", [True, False])
def test_uniform_log_q(shared: bool) -> None:
    context = bank_context(batch=3, bank=10)
    proposed = UniformNegatives(k=7, shared=shared).sample(context)
    assert proposed.mask.shape == (3, 7) and proposed.fresh is None
    assert proposed.ids.min() >= 3
    for log_q in (proposed.log_q, proposed.positive_log_q):
        assert log_q is not None and torch.equal(log_q, torch.full_like(log_q, -math.log(10)))
    assert UniformNegatives(k=7).sample(context, k=2).ids.shape == (2,)


def test_fresh_rows_are_what_was_drawn() -> None:
    proposed = UniformNegatives(k=7, shared=False, fresh=True).sample(bank_context())
    assert proposed.fresh is not None and proposed.fresh.tolist() == proposed.ids.flatten().tolist()


def test_a_row_that_is_not_written_or_a_duplicate_is_drawn_but_masked() -> None:
    context = bank_context(batch=2, bank=3)
    context.valid[2] = False
    context.candidate_keys[3] = 101  # the text of the second anchor's positive
    proposed = UniformNegatives(k=200).sample(context)
    usable = {2: [False, False], 3: [True, False], 4: [True, True]}
    assert set(proposed.ids.tolist()) == {2, 3, 4}
    assert proposed.mask.T.tolist() == [usable[row] for row in proposed.ids.tolist()]
    kept = UniformNegatives(k=200, mask_duplicates=False).sample(context)
    assert torch.equal(kept.mask, (kept.ids != 2).expand(2, -1))


def test_the_table_follows_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr("hf_contrastive.negatives.noise.AliasTable", lambda w: built.append(w) or AliasTable(w))
    sampler, positives = UnigramNegatives(k=4, power=1.0), torch.tensor([1])

    def probability(counts: torch.Tensor, start: int = 0) -> float:
        log_q = sampler.sample(vocabulary_context(counts, positives, start)).positive_log_q
        assert log_q is not None
        return log_q.exp().item()

    counts = torch.tensor([1, 3, 4])
    assert probability(counts) == pytest.approx(3 / 8)
    assert probability(counts) == pytest.approx(3 / 8) and len(built) == 1
    counts[0] = 9
    assert probability(counts) == pytest.approx(3 / 16)
    assert probability(counts, start=1) == pytest.approx(3 / 7)  # a bank that is part of the table
    for other in range(1, 5):  # new counts, that might stand where the last ones did
        assert probability(torch.tensor([other, 3, 4])) == pytest.approx(3 / (7 + other))


@pytest.mark.parametrize("kind", [UniformNegatives, UnigramNegatives])
@pytest.mark.parametrize("shared", [True, False])
def test_draws_count_as_many_as_they_stand_for(kind: type, shared: bool) -> None:
    context = vocabulary_context(COUNTS, torch.tensor([2, 0, 5]))
    sampler = kind(k=8, shared=shared, stands_for=5)
    proposed = sampler.sample(context)
    weights = sampler.weigh(proposed, context)
    assert weights is not None and weights.tolist() == [[5 / 8] * 8] * 3
    fewer = sampler.sample(context, k=4)
    weights = sampler.weigh(fewer, context)
    assert weights is not None and weights.tolist() == [[5 / 4] * 4] * 3
    assert kind(k=8, shared=shared).weigh(proposed, context) is None
    for none in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match="stands_for must be greater than 0"):
            kind(k=8, stands_for=none)


@pytest.mark.parametrize("kind", [UniformNegatives, UnigramNegatives])
def test_of_several_positives_each_has_its_own_probability(kind: type) -> None:
    positives = torch.tensor([[2, 0, -1], [4, 5, 4]])
    proposed = kind(k=3).sample(vocabulary_context(COUNTS, positives))
    log_q = kind(k=3).sample(vocabulary_context(COUNTS, positives.flatten())).positive_log_q
    assert proposed.positive_log_q is not None and log_q is not None
    there = positives >= 0
    assert torch.equal(proposed.positive_log_q[there], log_q.view(2, 3)[there])
    assert proposed.positive_log_q.isfinite().all()


@pytest.mark.parametrize("kind", [UniformNegatives, UnigramNegatives])
def test_refuses_no_draws(kind: type) -> None:
    with pytest.raises(ValueError, match="k must be positive, got 0"):
        kind(k=0)
