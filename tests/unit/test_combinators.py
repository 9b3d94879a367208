"""Samplers made of samplers: columns, masks, probabilities and weights of the whole against those of the parts."""

import math

import pytest
import torch
from contexts import NeverAsk, bank_context, told

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import (
    Filtered,
    InBatchNegatives,
    Joined,
    KnownPairs,
    Mixture,
    NegativeSampler,
    QueueNegatives,
    SelfAdversarial,
    UniformNegatives,
    build_sampler,
)

B = 3


@pytest.mark.parametrize("kind", [Joined, Mixture])
def test_pools_stand_side_by_side_in_the_order_of_the_parts(kind: type) -> None:
    parts = [told(2, seed=1), told(3, shared=False, seed=2), told(1, seed=3)]
    context = bank_context(B)
    proposed = kind(parts).sample(context)
    columns = [part.ids.expand(B, -1) for part in parts]
    assert torch.equal(proposed.ids, torch.cat(columns, 1))
    assert torch.equal(proposed.mask, torch.cat([part.mask for part in parts], 1))
    assert proposed.log_q is None and proposed.positive_log_q is None and proposed.fresh is None
    assert [pool.ids.dim() for pool in proposed.pools()] == [1, 2, 1]


def test_shared_pools_stay_shared_and_what_is_fresh_is_collected() -> None:
    parts = [told(2, fresh=torch.tensor([5])), told(3), told(1, fresh=torch.tensor([4, 7]))]
    proposed = Joined([parts[0], Joined(parts[1:])]).sample(bank_context(B))
    assert proposed.ids.dim() == 1
    assert proposed.fresh is not None and proposed.fresh.tolist() == [5, 4, 7]
    assert [len(pool.ids) for pool in proposed.pools()] == [2, 3, 1]  # of the innermost parts


def test_expected_counts_of_the_columns_are_those_of_the_parts() -> None:
    """P exp(log_q) is how often a column was expected: k q of its own part, 1 where it is there for certain."""
    generator = torch.Generator().manual_seed(0)

    def log_probability(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator).add(0.01).log()

    each, one = log_probability(B, 3), log_probability(4)
    positive = [log_probability(B), log_probability(B)]
    parts = [
        told(3, shared=False, log_q=each, positive_log_q=positive[0]),
        told(5),
        told(4, log_q=one, positive_log_q=positive[1]),
    ]
    expected = torch.cat([3 * each.exp(), torch.ones(B, 5), 4 * one.exp().expand(B, 4)], 1)
    for sampler in (Joined(parts), Joined([parts[0], Joined(parts[1:])]), Mixture(parts)):
        proposed = sampler.sample(bank_context(B))
        assert proposed.log_q is not None and proposed.positive_log_q is not None
        torch.testing.assert_close(12 * proposed.log_q.exp(), expected)
        torch.testing.assert_close(12 * proposed.positive_log_q.exp(), 3 * positive[0].exp() + 4 * positive[1].exp())


def test_shares_multiply_the_weights_of_the_parts() -> None:
    parts = [told(2, weights=True, seed=1), told(3, seed=2), told(1, weights=True, seed=3)]
    context = bank_context(B)
    for sampler, shares in ((Joined(parts), (1, 1, 1)), (Mixture(parts, lambda_=0.4), (0.4, 0.3, 0.3))):
        weights = sampler.weigh(sampler.sample(context), context)
        own = [torch.ones(B, 3) if part.weights is None else part.weights for part in parts]
        torch.testing.assert_close(weights, torch.cat([s * w for s, w in zip(shares, own, strict=True)], 1))


def test_a_share_of_1_is_the_first_sampler_itself() -> None:
    first = told(4, log_q=torch.rand(4).log(), positive_log_q=torch.rand(B).log(), fresh=torch.tensor([6]))
    context = bank_context(B)
    alone, proposed = first.sample(context), (mixture := Mixture([first, NeverAsk()], lambda_=1.0)).sample(context)
    for name in ("ids", "mask", "positive_log_q", "fresh"):
        assert torch.equal(getattr(alone, name), getattr(proposed, name)), name
    assert torch.equal(proposed.log_q, alone.log_q.expand(B, 4))
    assert mixture.weigh(proposed, context) is None


def test_a_share_of_0_is_not_asked() -> None:
    last = told(2)
    assert Mixture([NeverAsk(), last], lambda_=0).sample(bank_context(B)).mask.shape == (B, 2)
    assert last.asked == 1


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (0.3, {0: 0.3, 10**6: 0.3}),
        ({"start": 1.0, "end": 0.5, "begin": 10, "steps": 20}, {0: 1, 10: 1, 15: 0.875, 20: 0.75, 30: 0.5, 31: 0.5}),
        ({"start": 0, "end": 1, "steps": 4}, {0: 0, 1: 0.25, 4: 1, 9: 1}),
        ({"start": 1, "end": 0.25, "begin": 5}, {4: 1, 5: 0.25, 6: 0.25}),
    ],
    ids=str,
)
def test_the_share_follows_its_schedule(schedule, expected: dict[int, float]) -> None:
    mixture = Mixture([told(1), told(1), told(1)], lambda_=schedule)
    for step, share in expected.items():
        assert mixture.shares(step) == pytest.approx([share, (1 - share) / 2, (1 - share) / 2])


def test_the_step_of_the_context_counts() -> None:
    mixture = Mixture([told(1), told(2)], lambda_={"start": 1, "end": 0, "begin": 1, "steps": 2})
    assert [mixture.sample(bank_context(B, step=step)).mask.shape[1] for step in (1, 2, 3)] == [1, 3, 2]


@pytest.mark.parametrize(
    ("lambda_", "first", "others", "expected"),
    [
        (0.5, True, False, True),
        (0.5, False, True, True),
        (0.5, False, False, False),
        (1.0, False, True, False),
        (0.0, True, False, False),
        ({"start": 1, "end": 0.5, "steps": 9}, False, True, False),
        ({"start": 1, "end": 0.5, "steps": 9}, True, False, True),
    ],
)
def test_draws_have_a_probability_at_every_step_or_not_at_all(lambda_, first, others, expected) -> None:
    """What is asked alone at some step must have its own: an objective would miss it in the middle of a run."""
    drawn = {True: UniformNegatives(), False: QueueNegatives()}
    assert Mixture([drawn[first], drawn[others]], lambda_=lambda_).gives_log_q == expected
    assert Joined([drawn[first], drawn[others]]).gives_log_q == (first or others)


def cosines(context, ids: torch.Tensor) -> torch.Tensor:
    rows = torch.cat(context.candidates.parts)[ids.expand(B, -1)]
    return torch.tensor([[float(context.anchors[i] @ row) for row in rows[i]] for i in range(B)])


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(
    ("guide_margin", "with_known"), [(None, True), (-0.2, False), (-0.2, True), (0.05, False), (0.3, False)]
)
def test_filtered_leaves_out_known_pairs_and_what_is_near(guide_margin, with_known: bool, shared: bool) -> None:
    context, part = bank_context(B), told(6, shared=shared, seed=4)
    ids = part.ids.expand(B, -1)
    keys = context.candidate_keys[ids].tolist()
    pairs = [(0, keys[0][1]), (2, keys[2][5]), (1, 7)]
    known = KnownPairs(*torch.tensor(pairs).unbind(1)) if with_known else None
    near, own = cosines(context, ids).tolist(), cosines(context, context.positive_ids.unsqueeze(1)).tolist()

    def stays(i: int, j: int) -> bool:
        is_known = with_known and (i, keys[i][j]) in pairs
        is_near = guide_margin is not None and near[i][j] > own[i][0] - guide_margin
        return part.mask[i, j].item() and not is_known and not is_near

    sampler = Filtered(part, known, guide_margin)
    expected = torch.tensor([[stays(i, j) for j in range(6)] for i in range(B)])
    assert torch.equal(sampler.sample(context).mask, expected)
    left_out = (part.mask.sum() - expected.sum()).item()
    assert left_out > 0 and sampler.figures["filtered"].item() == pytest.approx(left_out / B)


def self_adversarial(context, ids: torch.Tensor, mask: torch.Tensor, alpha: float) -> torch.Tensor:
    """RotatE's equation 5, times the number of usable ones."""
    weights = torch.zeros(mask.shape, dtype=torch.float64)
    near = cosines(context, ids).double()
    for i in range(B):
        total = sum(math.exp(alpha * near[i, j]) for j in range(mask.shape[1]) if mask[i, j])
        for j in range(mask.shape[1]):
            if mask[i, j]:
                weights[i, j] = math.exp(alpha * near[i, j]) / total * mask[i].sum()
    return weights.float()


@pytest.mark.parametrize("alpha", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("shared", [True, False])
def test_self_adversarial_weights(alpha: float, shared: bool) -> None:
    context, part = bank_context(B), told(6, shared=shared, seed=4)
    part.mask[1] = False
    sampler = SelfAdversarial(part, alpha=alpha)
    proposed = sampler.sample(context)
    weights = sampler.weigh(proposed, context)
    assert torch.equal(proposed.ids, part.ids) and torch.equal(proposed.mask, part.mask)
    torch.testing.assert_close(weights, self_adversarial(context, part.ids, part.mask, alpha))
    torch.testing.assert_close(weights.sum(1), part.mask.sum(1).float())
    if alpha == 0:
        torch.testing.assert_close(weights, part.mask.float())


def test_self_adversarial_weights_multiply_those_of_the_part() -> None:
    context, part = bank_context(B), told(6, weights=True)
    sampler = SelfAdversarial(part, alpha=2.0)
    weights = sampler.weigh(sampler.sample(context), context)
    torch.testing.assert_close(weights, part.weights * self_adversarial(context, part.ids, part.mask, 2.0))


def test_self_adversarial_weights_of_joined_pools() -> None:
    context, parts = bank_context(B), [told(2, seed=1), told(3, shared=False, seed=2)]
    sampler = SelfAdversarial(Joined(parts), alpha=2.0)
    proposed = sampler.sample(context)
    expected = self_adversarial(context, proposed.ids, proposed.mask, 2.0)
    torch.testing.assert_close(sampler.weigh(proposed, context), expected)


def test_parts_inside_a_filter_see_what_it_left() -> None:
    """Weights and feedback of a mixture's parts, with the mask that a filter around the mixture has narrowed."""

    class Learned(QueueNegatives):
        def feedback(self, negatives, reward):
            return (reward * negatives.mask).sum()

    context = bank_context(B)
    sampler = Filtered(Mixture([InBatchNegatives(), SelfAdversarial(Learned(), alpha=2.0)]), guide_margin=0.1)
    proposed = sampler.sample(context)
    mine = proposed.mask[:, B:]
    assert sampler.figures["filtered"] > 0
    weights = sampler.weigh(proposed, context)
    torch.testing.assert_close(
        weights[:, B:], 0.5 * self_adversarial(context, context.rows("bank").expand(B, -1), mine, 2.0)
    )
    reward = torch.rand(proposed.mask.shape)
    torch.testing.assert_close(sampler.feedback(proposed, reward), (reward[:, B:] * mine).sum())


def test_nested_samplers_of_a_recipe() -> None:
    config = {
        "name": "mixture",
        "lambda": {"start": 1, "end": 0.5, "steps": 9},
        "parts": ["in_batch", {"name": "filtered", "guide_margin": 0.1, "part": {"name": "uniform", "k": 5}}],
    }
    sampler = build_sampler(config, mask_duplicates=False, width=8)
    assert isinstance(sampler, Mixture) and sampler.lambda_at(9) == 0.5
    first, second = sampler.parts
    assert isinstance(first, InBatchNegatives) and not first.mask_duplicates
    assert isinstance(second, Filtered) and second.guide_margin == 0.1
    assert isinstance(second.part, UniformNegatives) and second.part.k == 5 and not second.part.mask_duplicates
    assert sampler.needs == {"positives", "bank"}
    assert "parts" in config and config["parts"][1]["part"] == {"name": "uniform", "k": 5}  # left as it was


TWO = ["in_batch", "queue"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "mixture", "parts": [{"name": "uniform", "kk": 3}, "queue"]}, "uniform has no option 'kk'; did you"),
        ({"name": "filtered", "guide_margin": 0.1, "part": {"name": "quee"}}, "'quee'; did you mean 'queue'"),
        ({"name": "filtered", "guide_margin": 0.1, "part": ["queue"]}, "is not a sampler name or a mapping with"),
        ({"name": "filtered", "part": "queue"}, "filtered: give known positives, a guide_margin, or both"),
        ({"name": "mixture", "parts": "queue"}, "mixture: parts must be a list of samplers"),
        ({"name": "mixture", "parts": ["queue"]}, "mixture: parts must name at least two samplers"),
        ({"name": "mixture", "parts": TWO, "lambda_": 0.5}, "mixture has no option 'lambda_'; did you mean 'lambda'"),
        ({"name": "mixture", "parts": TWO, "lambda": 1.5}, r"lambda must be in \[0, 1\], got 1.5"),
        ({"name": "mixture", "parts": TWO, "lambda": {"start": 1}}, "the keys start, end, begin, steps; got"),
        ({"name": "mixture", "parts": TWO, "lambda": {"start": 1, "end": 0, "step": 5}}, "the keys start, end, begin"),
        (
            {"name": "mixture", "parts": TWO, "lambda": {"start": 1, "end": 0, "steps": "5k"}},
            "steps of lambda must be a number of steps, got '5k'",
        ),
        ({"name": "self_adversarial", "part": "queue", "alpha": -1}, "alpha must not be negative, got -1"),
    ],
    ids=str,
)
def test_unusable_combinations_are_refused(config: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_sampler(config)


def test_joined_needs_a_part() -> None:
    with pytest.raises(ValueError, match="parts must name at least one sampler"):
        Joined([])
    assert all(isinstance(m, NegativeSampler) for m in Joined([QueueNegatives()]).parts)


def test_known_pairs_need_keys() -> None:
    known = KnownPairs(torch.tensor([0]), torch.tensor([1]))
    with pytest.raises(ValueError, match="compared by key"):
        Filtered(QueueNegatives(), known).sample(bank_context(anchor_keys=None))
