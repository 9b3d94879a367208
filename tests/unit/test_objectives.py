"""Every objective and the masked-language-model term against loops written from the formulas."""

import itertools
import math

import pytest
import torch
from formulas import FORMULAS, MARGIN
from helpers import tiny_tokenizer

from hf_contrastive import arguments
from hf_contrastive.objectives import (
    NCE,
    OBJECTIVES,
    InfoNCE,
    MaskedLanguageModelHead,
    Objective,
    Order,
    SampledSoftmax,
    Triplet,
    cross_entropy_of_pool,
    mask_tokens,
)
from hf_contrastive.objectives.masked_lm import IGNORED
from hf_contrastive.training.build import make_objective

APART = ("negative_sampling", "nce", "order")  # whose positives have a term of their own


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def make(name: str, temperature: float) -> Objective:
    kind = OBJECTIVES[name]
    return kind(temperature, MARGIN) if kind in (Triplet, Order) else kind(temperature)


def test_every_objective_has_a_formula_here() -> None:
    assert FORMULAS.keys() == OBJECTIVES.keys()
    # What recipes may name; a classifier of pairs has no negatives, and tests of its own.
    assert set(arguments.OBJECTIVES) == OBJECTIVES.keys() | {"softmax_classifier"}


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("full", [True, False], ids=["mask, weights, each its log_q", "neither, one log_q"])
@pytest.mark.parametrize("shared_pool", [True, False])
@pytest.mark.parametrize("name", FORMULAS)
def test_loss_and_gradient_equal_a_double_loop(name: str, shared_pool: bool, full: bool, temperature: float) -> None:
    torch.manual_seed(0)
    b, p, width = 4, 6, 5
    vectors = [unit(b, width), unit(b, width), unit(p, width) if shared_pool else unit(b, p, width)]
    mask = torch.rand(b, p) > 0.3 if full else None
    if mask is not None:
        mask[2] = False  # an anchor without negatives
    weights = torch.rand(b, p).double() + 0.5 if full else None
    log_q = (torch.rand(b, p) if full else torch.rand(p)).double().add(0.1).log()
    positive_log_q = torch.rand(b).double().add(0.1).log()

    leaves = [x.requires_grad_() for x in vectors]
    loss = make(name, temperature)(*leaves, mask, weights, log_q, positive_log_q)
    found = torch.autograd.grad(loss, leaves)

    total, expected = 0.0, [torch.zeros_like(x) for x in vectors]
    anchors, positives, negatives = (x.detach() for x in vectors)
    for i in range(b):
        usable = [j for j in range(p) if mask is None or mask[i, j]]
        rows = {j: negatives[j] if shared_pool else negatives[i, j] for j in usable}
        scores = [float(anchors[i] @ rows[j]) / temperature for j in usable]
        given = [float(weights[i, j]) if weights is not None else 1.0 for j in usable]
        counts = [p * math.exp(log_q.expand(b, p)[i, j]) for j in usable]
        one, d_positive, slopes = FORMULAS[name](
            float(anchors[i] @ positives[i]) / temperature,
            list(zip(scores, given, counts, strict=True)),
            p * math.exp(positive_log_q[i]),
        )
        total += one / b
        expected[0][i] += d_positive * positives[i] / temperature / b
        expected[1][i] += d_positive * anchors[i] / temperature / b
        for j, slope in zip(usable, slopes, strict=True):
            expected[0][i] += slope * rows[j] / temperature / b
            (expected[2] if shared_pool else expected[2][i])[j] += slope * anchors[i] / temperature / b
    assert loss.item() == pytest.approx(total, rel=1e-12)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_loss_of_one_negative_is_the_objective_with_it_alone(name: str) -> None:
    """Drawn for certain: log_q = 0. Where the positive has a term apart, that is not in it."""
    torch.manual_seed(0)
    objective = make(name, 1.0)
    positive, pool = torch.randn(3).double(), torch.randn(3, 4).double()
    found = objective.per_negative(positive, pool)
    certain = torch.zeros(1).double()
    for i, j in itertools.product(range(3), range(4)):
        alone = objective.contrast(positive[i : i + 1], pool[i : i + 1, j : j + 1] * 1.0, None, None, certain, certain)
        own, _, _ = FORMULAS[name](float(positive[i]), [], 1.0) if name in APART else (0.0, 0.0, [])
        assert found[i, j].item() == pytest.approx(alone.item() - own, rel=1e-12)


@pytest.mark.parametrize("full", [True, False], ids=["mask, weights", "neither"])
@pytest.mark.parametrize("name", FORMULAS)
def test_several_positives_are_pairs_with_a_copy_of_their_anchors_pool_each(name: str, full: bool) -> None:
    torch.manual_seed(0)
    objective = make(name, 1.0)
    positive, pool = torch.randn(4, 3).double().requires_grad_(), torch.randn(4, 5).double().requires_grad_()
    pairs = torch.tensor([[1, 1, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1]]).bool()
    mask = torch.rand(4, 5) > 0.3 if full else None
    if mask is not None:
        mask[1] = False  # an anchor without negatives
    weights = torch.rand(4, 5).double() + 0.5 if full else None
    log_q, positive_log_q = torch.rand(5).double().log(), torch.rand(4, 3).double().log()
    drawn = {"log_q": log_q, "positive_log_q": positive_log_q}
    # Some objectives overwrite the scores they are given.
    found = objective.contrast(positive * 1.0, pool * 1.0, mask, weights, **drawn, pairs=pairs)
    anchor, place = pairs.nonzero(as_tuple=True)
    expected = objective.contrast(
        positive[anchor, place], pool[anchor], mask[anchor] if full else None, weights[anchor] if full else None,
        log_q, positive_log_q[anchor, place],
    )  # fmt: skip
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, (positive, pool)) for loss in (found, expected)]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    nothing = objective.contrast(positive * 1.0, pool * 1.0, mask, weights, **drawn, pairs=torch.zeros_like(pairs))
    assert nothing.item() == 0
    assert all((g == 0).all() for g in torch.autograd.grad(nothing, (positive, pool)))


@pytest.mark.parametrize("name", FORMULAS)
def test_negatives_that_weigh_nothing_teach_nothing(name: str) -> None:
    torch.manual_seed(0)
    scores = [torch.randn(2, 3).double().requires_grad_(), torch.randn(2, 4).double().requires_grad_()]
    nothing, pairs = torch.zeros(2, 4), torch.ones(2, 3, dtype=torch.bool)
    certain = torch.zeros(1).double()
    positive, pool = (x * 1.0 for x in scores)
    loss = make(name, 1.0).contrast(positive, pool, None, nothing, certain, torch.zeros(2, 3).double(), pairs)
    for_positives, for_negatives = torch.autograd.grad(loss, scores, allow_unused=True)
    assert loss.isfinite() and for_positives.isfinite().all()
    assert for_negatives is None or for_negatives.abs().max() == 0


@pytest.mark.parametrize(
    ("objective", "given"), [(SampledSoftmax(), (None, 0)), (NCE(), (None, 0)), (NCE(), (0, None))], ids=str
)
def test_refuses_negatives_of_unknown_probability(objective, given) -> None:
    log_q, positive_log_q = (None if x is None else torch.zeros(1) for x in given)
    with pytest.raises(ValueError, match=r"needs negatives that were drawn with a known probability \(log_q\)"):
        objective.contrast(torch.zeros(1), torch.zeros(1, 2), None, None, log_q, positive_log_q)


# A vocabulary small enough to go through all draws of it.
SCORES = torch.tensor([0.3, -1.2, 1.7], dtype=torch.float64)
NOISE = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_sampled_softmax_estimates_the_partition_function_without_bias(k: int) -> None:
    """exp(loss) is Z / exp(s_p): its mean over all draws of k, the positive's masked, is the whole softmax's."""
    positive, mean = 0, 0.0
    for draw in itertools.product(range(3), repeat=k):
        words = torch.tensor(draw)
        loss = SampledSoftmax(1.0).contrast(
            SCORES[positive].reshape(1), SCORES[words].reshape(1, k), (words != positive).reshape(1, k), None,
            log_q=NOISE[words].log(),
        )  # fmt: skip
        mean += NOISE[words].prod().item() * math.exp(loss)
    assert mean * math.exp(SCORES[positive]) == pytest.approx(SCORES.exp().sum().item(), rel=1e-12)


def expected_nce_gradient(scores: torch.Tensor, positive: int, k: int, masked: bool = False) -> torch.Tensor:
    """d/d(scores) of NCE's mean over all draws of k: each word once, with the k q draws of it as its weight."""
    scores = scores.clone().requires_grad_()
    own = scores[positive].reshape(1)
    # The pool has as many columns as there are words; its expected counts are to be those of k draws.
    counts = NOISE.log() + math.log(k / len(NOISE))
    mask = (torch.arange(len(NOISE)) != positive).unsqueeze(0) if masked else None
    loss = NCE(1.0).contrast(
        own, scores.unsqueeze(0), mask, k * NOISE.unsqueeze(0), counts, counts[positive].reshape(1)
    )
    return torch.autograd.grad(loss, scores)[0]


def test_the_expected_nce_gradient_is_the_mean_over_all_draws() -> None:
    mean = torch.zeros(3, dtype=torch.float64)
    for draw in itertools.product(range(3), repeat=2):
        scores, words = SCORES.clone().requires_grad_(), torch.tensor(draw)
        own, log_q = scores[1].reshape(1), NOISE.log()
        loss = NCE(1.0).contrast(own, scores[words].unsqueeze(0), None, None, log_q[words], log_q[1].reshape(1))
        mean += NOISE[words].prod() * torch.autograd.grad(loss, scores)[0]
    torch.testing.assert_close(mean, expected_nce_gradient(SCORES, 1, 2), rtol=1e-12, atol=1e-14)


def test_nce_with_more_noise_approaches_the_gradient_of_the_full_softmax() -> None:
    """For scores that are log probabilities (Mnih and Teh, 2012, equation 13); the difference goes like 1 / k."""
    scores = SCORES.log_softmax(0)
    softmax = scores.exp() - torch.tensor([0, 1, 0])
    error = {k: (expected_nce_gradient(scores, 1, k) - softmax).norm().item() for k in (1, 10, 1000, 100_000)}
    assert error[1] > 0.3 and error[1] > 2 * error[10] > 100 * error[1000]
    assert 1000 * error[1000] == pytest.approx(100_000 * error[100_000], rel=0.02)


@pytest.mark.parametrize("masked", [False, True])
def test_at_the_optimum_of_nce_scores_are_log_probabilities(masked: bool) -> None:
    """Or log odds, where draws that hit the positive are masked."""
    data = torch.tensor([0.6, 0.1, 0.3], dtype=torch.float64)
    scores = (data / (1 - data)).log() if masked else data.log()
    gradient = sum(p * expected_nce_gradient(scores, word, 5, masked) for word, p in enumerate(data))
    assert gradient.abs().max() < 1e-15
    assert sum(p * expected_nce_gradient(scores + 0.1, w, 5, masked) for w, p in enumerate(data)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [Triplet, Order])
@pytest.mark.parametrize("margin", [-0.1, float("nan")])
def test_refuses_a_negative_margin(kind: type[Triplet | Order], margin: float) -> None:
    with pytest.raises(ValueError, match="margin must not be negative"):
        kind(margin=margin)


def test_in_batch_equals_cross_entropy_over_cosines() -> None:
    torch.manual_seed(0)
    a, b = unit(6, 8).requires_grad_(), unit(6, 8).requires_grad_()
    ours = InfoNCE(0.05)(a, b, b, ~torch.eye(6, dtype=torch.bool))
    reference = torch.nn.functional.cross_entropy(a @ b.T / 0.05, torch.arange(6))
    for mine, theirs in zip(torch.autograd.grad(ours, (a, b)), torch.autograd.grad(reference, (a, b)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    assert ours.item() == pytest.approx(reference.item(), rel=1e-12)


def test_gradient_by_finite_differences() -> None:
    torch.manual_seed(0)
    positive, pool = torch.randn(4, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    inputs = (positive.requires_grad_(), pool.requires_grad_())
    assert torch.autograd.gradcheck(lambda p, q: cross_entropy_of_pool(p, q * 1.0), inputs)


def test_an_anchor_without_negatives_loses_nothing() -> None:
    anchors, positives = unit(3, 4).requires_grad_(), unit(3, 4)
    loss = InfoNCE(0.05)(anchors, positives, unit(5, 4), torch.zeros(3, 5, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert anchors.grad.abs().max() == 0


def test_logits_are_float32_under_autocast() -> None:
    torch.manual_seed(0)
    a, b = unit(6, 8).float(), unit(6, 8).float()
    outside = InfoNCE(0.05)(a, b, b)
    with torch.autocast("cpu", torch.bfloat16):
        inside = InfoNCE(0.05)(a, b, b)
    assert inside.dtype == torch.float32
    assert inside == outside


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be greater than 0"):
        InfoNCE(temperature)


def test_masking_keeps_special_tokens_and_the_proportions() -> None:
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    ids = torch.randint(5, len(tokenizer), (400, 50))
    ids[:, 0], ids[:, -1], attention = tokenizer.cls_token_id, tokenizer.pad_token_id, torch.ones(400, 50)
    attention[:, -1] = 0
    masked, labels = mask_tokens(
        ids,
        attention,
        special_ids=torch.tensor(tokenizer.all_special_ids),
        mask_id=tokenizer.mask_token_id,
        vocab_size=len(tokenizer),
        probability=0.15,
    )
    chosen = labels != IGNORED
    assert not chosen[:, 0].any() and not chosen[:, -1].any()
    assert chosen[:, 1:-1].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (masked[chosen] == tokenizer.mask_token_id).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (masked[chosen] == ids[chosen]).float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert torch.equal(masked[~chosen], ids[~chosen])
    assert torch.equal(labels[chosen], ids[chosen])


def test_masked_lm_head_is_cross_entropy_over_the_chosen_tokens() -> None:
    torch.manual_seed(0)
    head, hidden, embeddings = MaskedLanguageModelHead(8, 11), torch.randn(2, 3, 8), torch.randn(11, 8)
    labels = torch.tensor([[4, IGNORED, IGNORED], [IGNORED, 0, 10]])
    logits = head.transform(hidden) @ embeddings.T + head.bias
    expected = -sum(logits[i, j].log_softmax(-1)[labels[i, j]] for i, j in [(0, 0), (1, 1), (1, 2)]) / 3
    torch.testing.assert_close(head(hidden, labels, embeddings), expected)
    assert head(hidden, torch.full_like(labels, IGNORED), embeddings) == 0


@pytest.mark.parametrize("temperature", [1.0, 0.05])
def test_a_recipes_margin_is_in_cosines_whatever_the_temperature(temperature: float) -> None:
    objective = make_objective("triplet", temperature, margin=0.2)
    anchor, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]])
    ahead, behind = torch.tensor([[0.55, 0.8352]]), torch.tensor([[0.65, 0.7599]])  # cosines 0.55 and 0.65
    assert objective(anchor, positive, ahead) == 0
    assert objective(anchor, positive, behind) * temperature == pytest.approx(0.05, abs=1e-3)
    against = make_objective("order", temperature, margin=0.2)
    # -0.8 for the positive; cosines -0.55 and 0.65 of the negatives, of which -0.55 is behind the margin
    assert against(anchor, positive, -ahead) * temperature == pytest.approx(-0.8)
    assert against(anchor, positive, behind) * temperature == pytest.approx(-0.8 + 0.2 + 0.65)
