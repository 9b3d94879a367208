"""The adversarial generator: its gradients, weights and draws against float64 references."""

import pytest
import torch
from adversaries import BANK, BATCH, COLD, WIDTH, analytic, gradient, make_context, somewhere
from contexts import unit

from hf_contrastive.negatives import AdversarialNegatives, Filtered, InBatchNegatives, Mixture, UniformNegatives


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
