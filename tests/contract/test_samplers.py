"""What every registered sampler must do; a sampler without an example here fails the suite."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import chisquare

from hf_contrastive.negatives import (
    Candidates,
    Context,
    Joined,
    KnownPairs,
    Negatives,
    NegativeSampler,
    build_sampler,
    registered,
)

BATCH, GLOBAL, HARD, BANK, WIDTH = 4, 8, 6, 12, 16
KNOWN = KnownPairs(torch.tensor([4, 5]), torch.tensor([100 + GLOBAL + HARD, 100]))

GENTLE = {"temperature": 1.0, "warm_start": False}  # weights 1 / q without a heavy tail

# One configuration at least for each sampler of this package.
EXAMPLES: dict[str, list[dict]] = {
    "adversarial": [
        {"width": WIDTH},
        {"width": WIDTH, "fresh": 3, "pool_size": 6},
        {"width": WIDTH, "false_negatives": "keep", "warm_start": False},
        {"width": WIDTH, "estimator": "reinforce", "k": 5},
        {
            "width": WIDTH,
            "estimator": "reinforce",
            "k": 2,
            "baseline": "leave_one_out",
            "fresh": 4,
            "pool_size": 6,
            **GENTLE,
        },
        {"width": WIDTH, "part": {"name": "unigram", "k": 9}, "noise": 0.3},
        {"width": WIDTH, "part": {"name": "uniform", "k": 6, "shared": False}},
        {"width": WIDTH, "part": {"name": "uniform", "k": 6}, "estimator": "reinforce", "k": 3, **GENTLE},
    ],
    "cached": [{"k": 3, "cache_size": 4, "candidates": 5, "slots": 8}],
    "filtered": [
        {"part": "in_batch", "known": KNOWN},
        {"part": {"name": "uniform", "k": 30}, "guide_margin": 0.1, "known": KNOWN},
        {"part": {"name": "adversarial", "width": WIDTH}, "known": KNOWN},
    ],
    "hard": [{}, {"weight": 2.0}],
    "in_batch": [{}, {"mask_duplicates": False}],
    "mixture": [
        {"parts": ["in_batch", "queue"]},
        {"parts": ["in_batch", {"name": "uniform", "k": 3, "shared": False}], "lambda": 1.0},
        {"parts": ["uniform", {"name": "adversarial", "width": WIDTH, "estimator": "reinforce", "off_policy": True}]},
    ],
    "queue": [{}, {"mask_duplicates": False}],
    "self_adversarial": [{"part": "queue"}, {"part": {"name": "uniform", "k": 9, "shared": False}, "alpha": 3.0}],
    "uniform": [{"k": 7}, {"k": 5, "shared": False, "fresh": True}],
    "unigram": [{"k": 7}, {"k": 5, "shared": False, "power": 0.5}],
}
CASES = [
    pytest.param({"name": name, **options}, id=f"{name}-{number}")
    for name in EXAMPLES
    for number, options in enumerate(EXAMPLES[name])
]


def make_context(seed: int = 0, rank: int = 1) -> Context:
    """One of two ranks: four anchors, eight positives, six hard negatives of which the last only pads, and a bank
    whose last two rows are empty and whose first has the text of the first anchor's positive."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(GLOBAL + HARD + BANK, WIDTH, generator=generator), dim=-1)
    size = len(rows)
    owners = torch.tensor([*range(GLOBAL), 0, 2, 4, 4, 7, -1, *[-1] * BANK])
    valid = torch.ones(size, dtype=torch.bool)
    valid[GLOBAL + HARD - 1] = valid[-2:] = False
    keys = torch.arange(100, 100 + size)
    keys[GLOBAL + HARD] = keys[BATCH * rank]
    bank = range(GLOBAL + HARD, size)
    return Context(
        anchors=rows[BATCH * rank : BATCH * (rank + 1)].clone(),
        candidates=Candidates(rows[: GLOBAL + HARD], rows[GLOBAL + HARD :].half()),
        positive_ids=torch.arange(BATCH) + BATCH * rank,
        regions={"positives": range(GLOBAL), "hard": range(GLOBAL, GLOBAL + HARD), "bank": bank},
        owners=owners,
        valid=valid,
        anchor_keys=torch.arange(BATCH) + BATCH * rank,
        candidate_keys=keys,
        candidate_anchor_keys=torch.where(owners >= 0, owners, 1000),
        counts=torch.arange(1, size + 1),
        generator=torch.Generator().manual_seed(seed),
    )


def test_every_registered_sampler_has_an_example() -> None:
    ours = {name for name, sampler in registered().items() if sampler.__module__.startswith("hf_contrastive.")}
    assert ours == set(EXAMPLES), "add an example of the new sampler above"


@pytest.fixture(params=CASES)
def make(request: pytest.FixtureRequest) -> Callable[[], NegativeSampler]:
    return lambda: build_sampler(copy.deepcopy(request.param))


def test_shapes_and_types(make: Callable[[], NegativeSampler]) -> None:
    context = make_context()
    negatives = make().sample(context)
    assert isinstance(negatives, Negatives)
    assert negatives.ids.dtype == torch.long and negatives.mask.dtype == torch.bool
    assert negatives.mask.shape == (BATCH, negatives.ids.shape[-1])
    assert negatives.ids.dim() == 1 or negatives.ids.shape[0] == BATCH
    assert negatives.ids.min() >= 0 and negatives.ids.max() < len(context.candidates)
    if negatives.log_q is not None:
        assert torch.broadcast_shapes(negatives.log_q.shape, negatives.mask.shape) == negatives.mask.shape


def test_never_proposes_the_positive_or_padding(make: Callable[[], NegativeSampler]) -> None:
    context = make_context()
    negatives = make().sample(context)
    ids = negatives.ids.expand(BATCH, -1) if negatives.ids.dim() == 1 else negatives.ids
    assert negatives.mask.any()
    assert not (negatives.mask & (ids == context.positive_ids.unsqueeze(1))).any()
    assert not (negatives.mask & ~context.valid[ids]).any()


def test_never_proposes_a_duplicate_of_the_positive(
    make: Callable[[], NegativeSampler], request: pytest.FixtureRequest
) -> None:
    sampler, context = make(), make_context()
    told_to = {getattr(m, "mask_duplicates", True) for m in sampler.modules()}
    if False in told_to or "keep" in {getattr(m, "false_negatives", "") for m in sampler.modules()}:
        pytest.skip("told to keep them")
    negatives = sampler.sample(context)
    ids = negatives.ids.expand(BATCH, -1) if negatives.ids.dim() == 1 else negatives.ids
    assert context.candidate_keys is not None
    same = context.candidate_keys[ids] == context.candidate_keys[context.positive_ids].unsqueeze(1)
    assert not (negatives.mask & same).any()


def test_log_q_is_the_frequency_of_the_draws(make: Callable[[], NegativeSampler]) -> None:
    """Chi-square over 4,000 samples: what was drawn how often, against exp(log_q)."""
    sampler, context = make(), make_context()
    if isinstance(sampler, Joined):
        pytest.skip("the parts are tested on their own")
    first = sampler.sample(context)
    if first.log_q is None:
        assert not sampler.gives_log_q
        return
    columns = getattr(first.trace, "draws", None)  # behind them a learned sampler may have columns for itself
    correction = math.log((columns + 2) / columns) if columns else 0.0
    found: dict[int, list[float]] = {}
    with torch.no_grad():
        for _ in range(4000):
            negatives = sampler.sample(context)
            ids = negatives.ids if negatives.ids.dim() == 1 else negatives.ids[-1]
            log_q = negatives.log_q.expand(negatives.mask.shape)[-1] + correction
            for row, value in zip(ids[:columns].tolist(), log_q[:columns].tolist(), strict=True):
                found.setdefault(row, []).append(math.exp(value))
    draws = sum(len(q) for q in found.values())
    frequent = {row: q for row, q in found.items() if len(q) >= 50}
    if all(max(q) - min(q) < 1e-6 for q in found.values()):
        observed = torch.tensor([float(len(q)) for q in frequent.values()])
        expected = torch.tensor([q[0] for q in frequent.values()])
        assert sum(q[0] for q in found.values()) == pytest.approx(1, abs=0.01)  # nothing likely was missed
        assert (
            chisquare(observed.double(), expected.double() * observed.double().sum() / expected.double().sum()).pvalue
            > 1e-4
        )
    else:  # it depends on the pool of the step: weights 1 / q must make every row count once
        for q in frequent.values():
            ratio = torch.zeros(draws)
            ratio[: len(q)] = 1 / torch.tensor(q)
            assert abs(ratio.mean() - 1) < 5 * ratio.std() / draws**0.5


def test_ranks_share_pools_and_draw_their_own(make: Callable[[], NegativeSampler]) -> None:
    """What is not drawn is the same on both ranks: the pool, but not who may use which of it."""
    first, second = make().sample(make_context(rank=0)), make().sample(make_context(rank=1))
    assert first.ids.shape == second.ids.shape and first.mask.shape == second.mask.shape
    if first.log_q is None and first.ids.dim() == 1 and first.trace is None:
        assert torch.equal(first.ids, second.ids)


def test_stays_in_the_regions_it_says_it_needs(make: Callable[[], NegativeSampler]) -> None:
    sampler, context = make(), make_context()
    allowed = {row for region in sampler.needs - {"counts"} for row in context.regions[region]}
    assert sampler.needs and set(sampler.sample(context).ids.flatten().tolist()) <= allowed


def test_weights_are_detached_and_not_negative(make: Callable[[], NegativeSampler]) -> None:
    sampler, context = make(), make_context()
    negatives = sampler.sample(context)
    weights = sampler.weigh(negatives, context)
    if weights is not None:
        assert weights.shape == negatives.mask.shape
        assert not weights.requires_grad and (weights >= 0).all()


def test_same_seed_same_proposals(make: Callable[[], NegativeSampler]) -> None:
    first, second = make().sample(make_context(3)), make().sample(make_context(3))
    assert torch.equal(first.ids, second.ids) and torch.equal(first.mask, second.mask)


def test_leaves_the_context_alone(make: Callable[[], NegativeSampler]) -> None:
    context = make_context()
    before = copy.deepcopy(context.candidates.parts)
    make().sample(context)
    assert all(torch.equal(now, then) for now, then in zip(context.candidates.parts, before, strict=True))


def test_state_dict_round_trip(make: Callable[[], NegativeSampler]) -> None:
    sampler, other = make(), make()
    other.load_state_dict(sampler.state_dict())
    assert torch.equal(sampler.sample(make_context()).mask, other.sample(make_context()).mask)


def test_moves_with_the_device(make: Callable[[], NegativeSampler]) -> None:
    """The meta device refuses to be mixed with another; where there is a GPU, that too."""
    sampler, context = make(), make_context()
    devices = ["meta", "cuda"] if torch.cuda.is_available() else ["meta"]
    if "counts" in sampler.needs or any(isinstance(module, KnownPairs) for module in sampler.modules()):
        devices.remove("meta")  # alias tables are computed on the host, from values; so is what is known of a pool
    for device in devices:
        moved = {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in vars(context).items()}
        moved["candidates"] = Candidates(*(part.to(device) for part in context.candidates.parts))
        moved["generator"] = None
        negatives = copy.deepcopy(sampler).to(device).sample(Context(**moved))
        assert negatives.ids.device.type == negatives.mask.device.type == device


def test_feedback_is_nothing_or_a_scalar(make: Callable[[], NegativeSampler]) -> None:
    sampler = make()
    negatives = sampler.sample(make_context())
    loss = sampler.feedback(negatives, torch.rand(negatives.mask.shape))
    assert (loss is None) == (not sampler.learned())
    if loss is not None:
        assert loss.dim() == 0
        loss.backward()
        for learned in sampler.learned():
            assert all(p.grad is not None and p.grad.isfinite().all() for p in learned.parameters())


def test_fresh_rows_are_of_the_bank(make: Callable[[], NegativeSampler]) -> None:
    context = make_context()
    fresh = make().sample(context).fresh
    if fresh is not None:
        span = context.regions["bank"]
        assert fresh.dim() == 1 and fresh.min() >= span.start and fresh.max() < span.stop


def test_an_empty_bank_gives_nothing_and_breaks_nothing(make: Callable[[], NegativeSampler]) -> None:
    sampler, context = make(), make_context()
    context.valid[context.regions["bank"].start :] = False
    negatives = sampler.sample(context)
    weights = sampler.weigh(negatives, context)
    assert weights is None or weights.isfinite().all()
    loss = sampler.feedback(negatives, torch.rand(negatives.mask.shape))
    assert loss is None or loss.isfinite()


# --- words: the whole table is the bank, and an anchor has several positives or none ---


def make_word_context(seed: int = 0, mask_positives: bool = True) -> Context:
    """Five words with up to four neighbours each, one of them twice; of the last word there are none."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(BANK, WIDTH, generator=generator), dim=-1)
    return Context(
        anchors=torch.nn.functional.normalize(torch.randn(5, WIDTH, generator=generator), dim=-1),
        candidates=Candidates(rows),
        positive_ids=torch.tensor([[3, 1, -1, -1], [0, 1, 2, 3], [-1, 11, -1, 4], [5, -1, 5, 7], [-1, -1, -1, -1]]),
        regions={"bank": range(BANK)},
        owners=torch.full((BANK,), -1),
        valid=torch.ones(BANK, dtype=torch.bool),
        anchor_keys=torch.tensor([6, 2, 2, 9, 4]),
        candidate_keys=torch.arange(BANK),
        counts=torch.arange(1, BANK + 1),
        mask_positives=mask_positives,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.fixture
def make_for_words(make: Callable[[], NegativeSampler]) -> Callable[[], NegativeSampler]:
    if not make().needs <= {"bank", "counts"}:
        pytest.skip("reads what words have not")
    return make


def test_several_positives_are_never_proposed(make_for_words: Callable[[], NegativeSampler]) -> None:
    for seed in range(5):
        sampler, context = make_for_words(), make_word_context(seed)
        negatives = sampler.sample(context)
        ids = negatives.ids.expand(5, -1) if negatives.ids.dim() == 1 else negatives.ids
        assert negatives.mask.shape == ids.shape and negatives.mask[4].any()
        own = (ids.unsqueeze(2) == context.positive_ids.unsqueeze(1)).any(2)
        assert not (negatives.mask & own).any()
        weights = sampler.weigh(negatives, context)
        if weights is not None:
            assert weights.shape == ids.shape and weights.isfinite().all() and (weights >= 0).all()
        if sampler.gives_log_q:
            assert negatives.positive_log_q is not None and negatives.log_q is not None
            assert negatives.positive_log_q.shape == context.positive_ids.shape
            assert negatives.positive_log_q[context.positive_ids >= 0].isfinite().all()
            assert torch.broadcast_shapes(negatives.log_q.shape, ids.shape) == ids.shape
        loss = sampler.feedback(negatives, torch.rand(ids.shape))
        assert (loss is None) == (not sampler.learned())
        if loss is not None:
            loss.backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in sampler.parameters())


def test_positives_are_proposed_where_they_are_not_to_be_masked(make_for_words: Callable[[], NegativeSampler]) -> None:
    found = False
    if any(getattr(module, "guide_margin", None) is not None for module in make_for_words().modules()):
        pytest.skip("a guide leaves out what is as similar as a positive")
    for seed in range(5):
        sampler, context = make_for_words(), make_word_context(seed, mask_positives=False)
        negatives = sampler.sample(context)
        ids = negatives.ids.expand(5, -1) if negatives.ids.dim() == 1 else negatives.ids
        found |= bool((negatives.mask & (ids.unsqueeze(2) == context.positive_ids.unsqueeze(1)).any(2)).any())
    assert found
