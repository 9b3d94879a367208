"""The adversarial generator: its gradients against float64 references, and what it learns on problems made for it."""

import math

import pytest
import torch
from contexts import Told

from hf_contrastive.negatives import (
    AdversarialNegatives,
    Candidates,
    Context,
    Filtered,
    HardNegatives,
    InBatchNegatives,
    Joined,
    Mixture,
    Negatives,
    UniformNegatives,
)

BATCH, BANK, WIDTH = 6, 40, 12
COLD = {"width": WIDTH, "warm_start": False, "temperature": 0.5, "entropy_weight": 0.0}


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def make_context(anchors: torch.Tensor, bank: torch.Tensor, keys: torch.Tensor | None = None) -> Context:
    """Positives 0..B-1 with keys 0..B-1, then the bank, whose rows have keys of their own unless `keys` says more."""
    count = len(anchors)
    bank_keys = torch.arange(1000, 1000 + len(bank)) if keys is None else keys
    return Context(
        anchors=anchors,
        candidates=Candidates(anchors, bank),
        positive_ids=torch.arange(count),
        regions={"positives": range(count), "bank": range(count, count + len(bank))},
        owners=torch.cat([torch.arange(count), torch.full((len(bank),), -1)]),
        valid=torch.ones(count + len(bank), dtype=torch.bool),
        anchor_keys=torch.arange(100, 100 + count),
        candidate_keys=torch.cat([torch.arange(count), bank_keys]),
        candidate_anchor_keys=torch.cat([torch.arange(100, 100 + count), torch.full((len(bank),), -1)]),
        generator=torch.Generator().manual_seed(0),
    )


def somewhere(sampler: AdversarialNegatives) -> AdversarialNegatives:
    """Far enough from uniform that g matters."""
    with torch.no_grad():
        sampler.generator.candidate_projection.copy_(unit(WIDTH, WIDTH, seed=7))
    return sampler


def gradient(sampler: AdversarialNegatives, loss: torch.Tensor) -> torch.Tensor:
    parts = torch.autograd.grad(loss, list(sampler.generator.parameters()))
    return torch.cat([part.flatten().double() for part in parts])


def chances(sampler: AdversarialNegatives, anchor: torch.Tensor, rows: torch.Tensor) -> list[float]:
    """g over the rows for one anchor, in a float64 loop."""
    u, v = (p.detach().double() for p in sampler.generator.parameters())
    prior = float(sampler.generator.warm_start)
    logits = [float((u @ anchor) @ (v @ row) + prior * (anchor @ row)) / sampler.generator.temperature for row in rows]
    top = max(logits)
    total = sum(math.exp(x - top) for x in logits)
    return [math.exp(x - top) / total for x in logits]


def analytic(
    sampler: AdversarialNegatives, context: Context, reward: torch.Tensor, pool: torch.Tensor | None = None
) -> torch.Tensor:
    """d/d(U, V) of -mean_i sum_j g_ij r_ij, in float64 loops: dlogit_ij = -g_ij (r_ij - sum_l g_il r_il) / B.

    g is over the bank, or over the rows of the table that `pool` [P] or [B, P] names.
    """
    u, v = (p.detach().double() for p in sampler.generator.parameters())
    anchors, table = context.anchors.double(), torch.cat(context.candidates.parts).double()
    pool = torch.arange(BATCH, len(table)) if pool is None else pool
    grad_u, grad_v = torch.zeros_like(u), torch.zeros_like(v)
    for i in range(BATCH):
        rows = table[pool if pool.dim() == 1 else pool[i]]
        g = chances(sampler, anchors[i], rows)
        mean = sum(p * float(r) for p, r in zip(g, reward[i], strict=True))
        for j, row in enumerate(rows):
            slope = -g[j] * (float(reward[i, j]) - mean) / BATCH / sampler.generator.temperature
            grad_u += slope * torch.outer(v @ row, anchors[i])
            grad_v += slope * torch.outer(u @ anchors[i], row)
    return torch.cat([grad_u.flatten(), grad_v.flatten()])


@pytest.mark.parametrize("warm_start", [True, False])
def test_exact_gradient_is_the_analytic_one(warm_start: bool) -> None:
    sampler = somewhere(AdversarialNegatives(**COLD | {"warm_start": warm_start}))
    context, reward = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1)), 3 * torch.rand(BATCH, BANK)
    mine = gradient(sampler, sampler.feedback(sampler.sample(context), reward))
    expected = analytic(sampler, context, reward)
    assert torch.cosine_similarity(mine, expected, dim=0) > 1 - 1e-9
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-8)


def draws_of_reinforce(baseline: str, rounds: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients [rounds, N] of REINFORCE, and the analytic one [N], for a reward with a large mean."""
    torch.manual_seed(0)
    sampler = somewhere(AdversarialNegatives(**COLD, estimator="reinforce", k=k, baseline=baseline))
    context = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    reward = 2 + torch.rand(BATCH, BANK)
    rows = []
    for _ in range(rounds):
        proposed = sampler.sample(context)
        rows.append(gradient(sampler, sampler.feedback(proposed, reward.gather(1, proposed.ids - BATCH))))
    return torch.stack(rows), analytic(sampler, context, reward)


def test_reinforce_agrees_with_the_exact_gradient_and_its_baselines_lower_the_variance(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rounds, k = 800, 25  # 20,000 draws an anchor
    variance = {}
    for baseline in ("none", "self_critical", "leave_one_out"):
        found, expected = draws_of_reinforce(baseline, rounds, k)
        variance[baseline] = found.var(0).sum().item()
        error = (found.mean(0) - expected).norm() / (found.std(0).norm() / rounds**0.5)
        assert error < 2, baseline  # the mean is off by no more than its own standard error
        if baseline != "none":
            assert torch.cosine_similarity(found.mean(0), expected, dim=0) > 0.99, baseline
    with capsys.disabled():
        print("\n  variance of the REINFORCE gradient:", {name: f"{value:.2e}" for name, value in variance.items()})
    assert variance["self_critical"] < 0.5 * variance["none"]
    assert variance["leave_one_out"] < 0.5 * variance["none"]


def test_off_policy_draws_agree_with_the_exact_gradient() -> None:
    sampler = somewhere(AdversarialNegatives(**COLD, estimator="reinforce", k=1, off_policy=True))
    noise = UniformNegatives(k=200, mask_duplicates=False)
    context = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    reward = torch.rand(BATCH, BANK)
    rows = []
    for _ in range(300):
        drawn = noise.sample(context)
        rows.append(
            gradient(sampler, sampler.learn_from(sampler.sample(context), drawn, reward[:, drawn.ids - BATCH]))
        )
    expected = analytic(sampler, context, reward)
    assert torch.cosine_similarity(torch.stack(rows).mean(0), expected, dim=0) > 0.99


def test_a_mixture_feeds_noise_to_a_generator_that_asks_for_it() -> None:
    losses = []
    for off_policy in (False, True):
        learned = AdversarialNegatives(**COLD, estimator="reinforce", k=2, off_policy=off_policy)
        mixture = Mixture([UniformNegatives(k=5), learned], lambda_=0.5)
        context = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
        proposed = mixture.sample(context)
        losses.append(mixture.feedback(proposed, torch.linspace(0, 1, proposed.mask.numel()).reshape(BATCH, -1)))
    assert losses[0] != losses[1]


def test_a_generator_inside_a_filter_is_fed_too() -> None:
    losses = []
    for off_policy in (False, True):
        learned = AdversarialNegatives(**COLD, estimator="reinforce", k=2, off_policy=off_policy)
        mixture = Mixture([UniformNegatives(k=5), Filtered(learned, guide_margin=-2.0)], lambda_=0.5)
        proposed = mixture.sample(make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1)))
        losses.append(mixture.feedback(proposed, torch.linspace(0, 1, proposed.mask.numel()).reshape(BATCH, -1)))
    assert losses[0] != losses[1]


def test_weights_of_the_pool_are_k_times_g_and_nothing_for_false_negatives() -> None:
    sampler = AdversarialNegatives(width=WIDTH, k=7)
    keys = torch.arange(1000, 1000 + BANK)
    keys[3] = 2  # the text of anchor 2's positive
    context = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1), keys)
    proposed = sampler.sample(context)
    weights = sampler.weigh(proposed, context)
    expected = 7 * sampler.generator(context.anchors, context.candidates.parts[1]).softmax(-1).detach()
    expected[2, 3] = 0
    torch.testing.assert_close(weights, expected)


def test_fresh_rows_are_the_likeliest() -> None:
    sampler = AdversarialNegatives(width=WIDTH, fresh=5)
    context = make_context(unit(BATCH, WIDTH), unit(BANK, WIDTH, seed=1))
    fresh = sampler.sample(context).fresh
    mean = sampler.generator(context.anchors, context.candidates.parts[1]).softmax(-1).mean(0)
    assert set((fresh - BATCH).tolist()) == set(mean.topk(5).indices.tolist())


# --- a pool that another sampler proposes


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


# --- what it learns: a bank with planted rows, and the reward of an encoder that stays as it is


def planted(similarity: float, first: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthogonal anchors, and a bank of noise in which row `first + i` has this cosine with anchor i."""
    anchors = torch.eye(BATCH, 2 * WIDTH)
    noise = unit(BANK, 2 * WIDTH, seed=3)
    noise[:, :BATCH] = 0
    bank = torch.nn.functional.normalize(noise, dim=-1)
    rows = bank[first : first + BATCH]
    bank[first : first + BATCH] = similarity * anchors + (1 - similarity**2) ** 0.5 * rows
    return anchors, bank


def train(sampler: AdversarialNegatives, context: Context, lr: float = 0.02, steps: int = 200) -> torch.Tensor:
    """Probabilities [B, bank] of the generator after `steps` of Adam on what `feedback` says."""
    optimizer = torch.optim.Adam(sampler.parameters(), lr=lr)
    for _ in range(steps):
        proposed: Negatives = sampler.sample(context)
        ids = proposed.ids.expand(BATCH, -1)
        cosines = (context.anchors @ context.candidates.parts[1].T).gather(1, ids - BATCH)
        reward = torch.nn.functional.softplus((cosines - 0.9) / 0.1)
        optimizer.zero_grad()
        sampler.feedback(proposed, reward).backward()
        optimizer.step()
    return sampler.generator(context.anchors, context.candidates.parts[1]).softmax(-1).detach()


OPTIONS = {"width": 2 * WIDTH, "warm_start": False, "hidden": 24, "entropy_weight": 0.0}


@pytest.mark.parametrize("estimator", [{"estimator": "exact"}, {"estimator": "reinforce", "k": 32}])
def test_finds_planted_hard_negatives(estimator: dict) -> None:
    anchors, bank = planted(0.8, first=10)
    sampler = AdversarialNegatives(**OPTIONS | estimator)
    context = make_context(anchors, bank)
    before = sampler.generator(anchors, bank).softmax(-1)
    assert before[range(BATCH), range(10, 10 + BATCH)].mean() < 0.1
    mass = train(sampler, context)[range(BATCH), range(10, 10 + BATCH)]
    assert (mass >= 0.9).all(), mass


def test_spreads_when_the_entropy_constant_asks_for_it() -> None:
    anchors, bank = planted(0.8, first=10)
    sampler = AdversarialNegatives(**OPTIONS | {"entropy_weight": 2.0, "min_choices": 16})
    g = train(sampler, make_context(anchors, bank), lr=0.004)
    entropy = -(g * g.log()).sum(1)
    assert (entropy > math.log(16) - 0.1).all()
    assert g[range(BATCH), range(10, 10 + BATCH)].mean() > 3 / BANK  # still likelier than the others


@pytest.mark.parametrize("handling", ["keep", "mask"])
def test_collapses_onto_false_negatives_unless_they_are_handled(handling: str) -> None:
    """Row 20 + i is the text of anchor i's positive, and nearer to it than the planted hard negative 10 + i."""
    anchors, bank = planted(0.8, first=10)
    _, false = planted(0.95, first=20)
    bank[20 : 20 + BATCH] = false[20 : 20 + BATCH]
    keys = torch.arange(1000, 1000 + BANK)
    keys[20 : 20 + BATCH] = torch.arange(BATCH)
    sampler = AdversarialNegatives(**OPTIONS | {"false_negatives": handling})
    g = train(sampler, make_context(anchors, bank, keys))
    on_false, on_hard = (g[range(BATCH), range(first, first + BATCH)] for first in (20, 10))
    if handling == "keep":
        assert (on_false > 0.9).all(), on_false
    else:
        assert (on_false < 0.01).all() and (on_hard > 0.9).all(), (on_false, on_hard)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "exakt"}, "estimator must be one of exact, reinforce, got 'exakt'"),
        ({"k": 0}, "k must be at least 1"),
        ({"temperature": 0.0}, "temperature must be greater than 0"),
        ({"estimator": "reinforce", "k": 1, "baseline": "leave_one_out"}, "leave_one_out needs k of at least 2"),
        ({"noise": 1.5}, r"noise must be in \[0, 1\], and 0 under reinforce: a mixture has that; got 1.5"),
        ({"noise": 0.5, "estimator": "reinforce"}, "and 0 under reinforce: a mixture has that; got 0.5"),
        ({"part": UniformNegatives(), "pool_size": 5}, "part proposes the whole pool: leave pool_size and off_policy"),
        ({"part": UniformNegatives(), "off_policy": True}, "part proposes the whole pool: leave pool_size and off"),
        ({"part": InBatchNegatives(), "fresh": 2}, "fresh rows are of the bank: leave fresh out, or give a part that"),
    ],
    ids=str,
)
def test_refuses_what_makes_no_sense(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdversarialNegatives(width=4, **options)
