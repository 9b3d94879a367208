"""The adversarial generator over a pool that another sampler proposes."""

import math

import pytest
import torch
from adversaries import BANK, BATCH, COLD, WIDTH, analytic, chances, gradient, make_context, somewhere
from contexts import Told, unit

from hf_contrastive.negatives import (
    AdversarialNegatives,
    Candidates,
    HardNegatives,
    InBatchNegatives,
    Joined,
    UniformNegatives,
)


def given_pool(shared: bool, size: int = 9, **fields) -> Told:
    """Rows of the bank, some of them twice; a fifth is masked, and nothing in the first column."""
    random = torch.Generator().manual_seed(4)
    ids = torch.randint(BATCH, BATCH + 8, (size,) if shared else (BATCH, size), generator=random)
    mask = torch.rand(BATCH, size, generator=random) > 0.2
    mask[:, 0] = True
    return Told(ids, mask, region="bank", **fields)


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_weights_over_a_given_pool_are_k_times_g_and_noise(shared: bool, noise: float) -> None:
    part, context = given_pool(shared), make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    sampler = somewhere(AdversarialNegatives(**COLD | {"warm_start": True}, k=5, part=part, noise=noise))
    proposed = sampler.sample(context)
    assert torch.equal(proposed.ids, part.ids) and torch.equal(proposed.mask, part.mask) and part.asked == 1
    table, anchors = torch.cat(context.candidates.parts).double(), context.anchors.double()
    g = [chances(sampler, anchors[i], table[part.ids if shared else part.ids[i]]) for i in range(BATCH)]
    expected = 5 * ((1 - noise) * torch.tensor(g) + noise / 9)
    weights = sampler.weigh(proposed, context)
    torch.testing.assert_close(weights, expected * part.mask)
    assert not weights.requires_grad
    part.mask[:] = True
    every = sampler.weigh(sampler.sample(context), context)
    torch.testing.assert_close(every.sum(1), torch.full((BATCH,), 5.0))


@pytest.mark.parametrize("warm_start", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_exact_gradient_over_a_given_pool_is_the_analytic_one(shared: bool, warm_start: bool) -> None:
    """What the part or a filter around all of it has masked is a reward of minus the penalty; noise is not learned."""
    part, context = given_pool(shared), make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    options = COLD | {"warm_start": warm_start, "penalty": 0.7, "part": part, "noise": 0.4}
    sampler = somewhere(AdversarialNegatives(**options))
    proposed, reward = sampler.sample(context), 3 * torch.rand(BATCH, 9)
    proposed.mask[2, 0] = False  # by a filter around it
    found = gradient(sampler, sampler.feedback(proposed, reward))
    expected = analytic(sampler, context, torch.where(proposed.mask, reward, -0.7), part.ids)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("baseline", ["self_critical", "leave_one_out"])
def test_reinforce_draws_from_each_anchors_own_pool(baseline: str, shared: bool) -> None:
    """As KBGAN does (Cai and Wang, 2018): candidates drawn for each anchor, of which the generator picks."""
    torch.manual_seed(0)
    part, context = given_pool(shared), make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    options = COLD | {"part": part, "estimator": "reinforce", "k": 30, "baseline": baseline, "penalty": 0.5}
    sampler = somewhere(AdversarialNegatives(**options))
    of_row = 1 + torch.rand(BATCH, BATCH + BANK)  # the reward of each row of the table
    pools = part.ids.expand(BATCH, -1)
    false = torch.zeros(BATCH, BATCH + BANK, dtype=torch.bool)
    false[1, pools[1, 2]] = True
    context.candidate_keys[pools[1, 2]] = 101  # anchor 1's own text
    rows, seen = [], torch.zeros(BATCH, BATCH + BANK)
    for _ in range(300):
        proposed = sampler.sample(context)
        assert proposed.ids.shape == (BATCH, 32) and not proposed.mask[:, 30:].any()
        assert torch.equal(proposed.mask[:, :30], ~false.gather(1, proposed.ids[:, :30]))
        assert all(set(own.tolist()) <= set(pool.tolist()) for own, pool in zip(proposed.ids, pools, strict=True))
        seen.scatter_add_(1, proposed.ids[:, :30], torch.ones(BATCH, 30))
        rows.append(gradient(sampler, sampler.feedback(proposed, of_row.gather(1, proposed.ids))))
    found = torch.stack(rows)
    expected = analytic(sampler, context, torch.where(false, -0.5, of_row).gather(1, pools), part.ids)
    error = (found.mean(0) - expected).norm() / (found.std(0).norm() / 300**0.5)
    assert error < 2 and torch.cosine_similarity(found.mean(0), expected, dim=0) > 0.99
    table = torch.cat(context.candidates.parts).double()
    for i in range(BATCH):
        share = torch.zeros(BATCH + BANK).double()
        share.index_add_(
            0, pools[i], torch.tensor(chances(sampler, context.anchors[i].double(), table[pools[i]])).double()
        )
        assert (seen[i] / seen[i].sum() - share).abs().max() < 0.03


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("drawn", [True, False])
def test_draws_from_a_given_pool_have_the_probability_of_both_choices(shared: bool, drawn: bool) -> None:
    """That of the row in the pool, times how often it was expected there; of a pool there for certain g alone."""
    log_q = torch.rand((9,) if shared else (BATCH, 9), generator=torch.Generator().manual_seed(5)).log()
    part = given_pool(shared, **({"log_q": log_q} if drawn else {}))
    part.ids[:] = torch.arange(BATCH, BATCH + 9)  # each once: a row is a column
    context = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    sampler = somewhere(AdversarialNegatives(**COLD, part=part, estimator="reinforce", k=6))
    proposed = sampler.sample(context)
    table = torch.cat(context.candidates.parts).double()
    for i in range(BATCH):
        g = chances(sampler, context.anchors[i].double(), table[BATCH : BATCH + 9])
        for j, column in enumerate((proposed.ids[i, :6] - BATCH).tolist()):
            share = 9 * math.exp((log_q if shared else log_q[i])[column]) if drawn else 1.0
            # Of the 8 columns 6 are draws: `log_q` is of one draw out of all columns.
            assert proposed.log_q[i, j].item() == pytest.approx(math.log(g[column] * share * 6 / 8), rel=1e-4)


def test_with_false_negatives_kept_a_parts_mask_has_no_say() -> None:
    part, context = given_pool(True), make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    context.candidate_keys[part.ids[1]] = 2  # the text of anchor 2's positive
    kept = AdversarialNegatives(WIDTH, part=part, false_negatives="keep").sample(context)
    assert kept.mask.all() and not part.mask.all()


@pytest.mark.parametrize("estimator", ["exact", "reinforce"])
def test_a_pool_outside_of_the_bank_is_read_where_it_is(estimator: str) -> None:
    """The batch's own positives, and the bank and those beside each other."""
    context = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    context.candidates = Candidates(unit(BATCH, WIDTH, seed=8), context.candidates.parts[1])
    table = torch.cat(context.candidates.parts).double()
    for part in (InBatchNegatives(), Joined([UniformNegatives(k=5), InBatchNegatives()])):
        sampler = somewhere(AdversarialNegatives(**COLD, k=4, part=part, estimator=estimator))
        proposed = sampler.sample(context)
        pool = proposed.trace.pool
        g = [chances(sampler, anchor.double(), table[pool]) for anchor in context.anchors]
        torch.testing.assert_close(proposed.trace.log_g.exp().double(), torch.tensor(g).double(), rtol=1e-4, atol=1e-7)
        assert proposed.region != "bank" and torch.equal(
            context.vectors(proposed.ids, proposed.region), table.float()[proposed.ids]
        )


def test_fresh_rows_of_anchors_own_pools_are_the_likeliest() -> None:
    part, context = given_pool(False), make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    part.ids = BATCH + torch.arange(BATCH * 6).view(BATCH, 6) % BANK  # each row once
    part.mask = part.mask[:, :6]
    sampler = somewhere(AdversarialNegatives(**COLD, part=part, fresh=5))
    table = torch.cat(context.candidates.parts).double()
    g = torch.tensor([chances(sampler, context.anchors[i].double(), table[part.ids[i]]) for i in range(BATCH)])
    assert set(sampler.sample(context).fresh.tolist()) == set(part.ids.flatten()[g.flatten().topk(5).indices].tolist())


def test_needs_what_its_part_needs() -> None:
    assert AdversarialNegatives(WIDTH, part=HardNegatives()).needs == {"bank", "hard"}
    assert AdversarialNegatives(WIDTH).needs == {"bank"}
