"""A step's contrast with a bank: loss and gradient by hand, what is encoded anew, what is stored, what is drawn."""

from typing import Any

import pytest
import torch
from contexts import BagOfWords, unit
from formulas import FORMULAS, MARGIN
from torch import Tensor, nn

from hf_contrastive.negatives import Context, Negatives, NegativeSampler, build_negatives, usable
from hf_contrastive.objectives import OBJECTIVES, Triplet
from hf_contrastive.training.bank import SentenceBank
from hf_contrastive.training.contrast import Contrast, Sentences

B, HARD, BANK, LENGTH, WIDTH, WORDS, TEMPERATURE = 4, 3, 9, 5, 6, 30, 0.3


def sentences(vectors: Tensor, keys: list[int], seed: int = 0, rows: list[int] | None = None) -> Sentences:
    ids = torch.randint(1, WORDS, (len(keys), LENGTH - 1), generator=torch.Generator().manual_seed(seed))
    mask = (torch.arange(LENGTH - 1) < torch.arange(len(keys)).unsqueeze(1) % 3 + 2).long()
    owners = None if rows is None else torch.tensor(rows)
    return Sentences(vectors.detach().requires_grad_(), torch.tensor(keys), owners, ids * mask, mask)


def batch() -> tuple[Sentences, Sentences, Sentences]:
    """Anchors 0 and 3 have the same text, as have the positives of 1 and 2; the last hard negative only pads."""
    return (
        sentences(unit(B, WIDTH, seed=1), [1, 2, 3, 1]),
        sentences(unit(B, WIDTH, seed=2), [11, 12, 12, 14]),
        sentences(unit(HARD, WIDTH, seed=3), [21, 11, 1], rows=[0, 2, -1]),
    )


def filled_bank() -> SentenceBank:
    """Seven of nine rows: two texts of the batch, and a former positive of the text of anchor 1, among them."""
    bank, earlier = (
        SentenceBank(BANK, LENGTH, WIDTH, pad_id=0),
        sentences(unit(7, WIDTH, seed=4), [31, 12, 3, *[34] * 4]),
    )
    assert earlier.input_ids is not None and earlier.attention_mask is not None
    anchor_keys = torch.tensor([41, 42, 43, 2, 45, 46, 47])
    lengths = earlier.attention_mask.sum(1)
    bank.write(bank.padded(earlier.input_ids), lengths, earlier.vectors.detach(), earlier.keys, anchor_keys)
    return bank


def make(negatives: Any, objective: str = "infonce", **options: Any) -> tuple[Contrast, list[Negatives]]:
    """With a filled bank, ready to train; and a list in which it notes what its sampler proposes."""
    kind = Triplet(TEMPERATURE, MARGIN) if objective == "triplet" else OBJECTIVES[objective](TEMPERATURE)
    if not isinstance(negatives, NegativeSampler):
        negatives = build_negatives(negatives if isinstance(negatives, list) else [negatives])
    sample, proposed = negatives.sample, []
    negatives.sample = lambda context: proposed.append(sample(context)) or proposed[-1]
    return Contrast(negatives, kind, filled_bank(), **options), proposed


def state(contrast: Contrast) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in contrast.bank.state_dict().items()}


def by_hand(objective: str, ids: Tensor, columns: list, positive_count: float, bank: dict[str, Tensor]) -> tuple:
    """Loss, and its gradients for anchors, positives and hard negatives, in float64 loops.

    Args:
        ids: [B, P], what was proposed.
        columns: P pairs of weight and expected count.
        bank: its state when the step began.
    """
    anchors, positives, hard = batch()
    rows = torch.cat([positives.vectors, hard.vectors, bank["vectors"]]).detach().double()
    keys = [*positives.keys.tolist(), *hard.keys.tolist(), *bank["keys"].tolist()]
    # The anchor whose positive a row is, or was.
    origins = [*anchors.keys.tolist(), *[None] * HARD, *bank["anchor_keys"].tolist()]
    there = [*[True] * B, *(owner >= 0 for owner in hard.rows), *bank["written"].tolist()]
    loss, gradients = 0.0, torch.zeros(B + len(rows), WIDTH, dtype=torch.float64)
    for i, (anchor, key) in enumerate(zip(anchors.vectors.detach().double(), anchors.keys.tolist(), strict=True)):
        chosen, terms = [], []
        for row, column in zip(ids[i].tolist(), columns, strict=True):
            if row != i and there[row] and keys[row] not in (key, keys[i]) and origins[row] != key:
                chosen.append(row)
                terms.append((float(anchor @ rows[row]) / TEMPERATURE, *column))
        one, slope, slopes = FORMULAS[objective](float(anchor @ rows[i]) / TEMPERATURE, terms, positive_count)
        loss += one / B
        for row, by in zip([i, *chosen], [slope, *slopes], strict=True):
            gradients[i] += by * rows[row] / TEMPERATURE / B
            gradients[B + row] += by * anchor / TEMPERATURE / B
    return loss, gradients[: 2 * B + HARD].split([B, B, HARD])


class Anywhere(NegativeSampler):
    """Rows of all regions, each anchor's own."""

    needs = frozenset({"positives", "hard", "bank"})

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        ids = torch.tensor([[1, 4, 7, 9], [0, 6, 10, 13], [5, 8, 3, 11], [12, 2, 4, 15]])
        return Negatives(ids, usable(context, ids))


UNIFORM = {"name": "uniform", "k": 7}
EACH = {"name": "uniform", "k": 5, "shared": False}
CASES: dict[str, tuple[Any, str, list]] = {
    # what samples, the objective, and of its columns weight and expected count: k / N where they are drawn
    "queue": ("queue", "infonce", [(1, 1)] * BANK),
    "uniform": (UNIFORM, "infonce", [(1, 7 / BANK)] * 7),
    "uniform, nce": (UNIFORM, "nce", [(1, 7 / BANK)] * 7),
    "each its own, nce": (EACH, "nce", [(1, 5 / BANK)] * 5),
    "batch and draws": (["in_batch", UNIFORM], "sampled_softmax", [(1, 1)] * B + [(1, 7 / BANK)] * 7),
    "all kinds": (
        ["in_batch", "hard", EACH, "queue"],
        "sampled_softmax",
        [(1, 1)] * (B + HARD) + [(1, 5 / BANK)] * 5 + [(1, 1)] * BANK,
    ),
    "shares": (
        {"name": "mixture", "lambda": 0.3, "parts": ["in_batch", EACH]},
        "negative_sampling",
        [(0.3, 1)] * B + [(0.7, 1)] * 5,
    ),
    "triplet": (["hard", "queue"], "triplet", [(1, 1)] * (HARD + BANK)),
    "rows of no one region": (Anywhere(), "infonce", [(1, 1)] * 4),
}


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_by_hand(name: str) -> None:
    negatives, objective, columns = CASES[name]
    contrast, proposed = make(negatives, objective)
    before, given = state(contrast), batch()
    loss, metrics = contrast(*given)
    found = torch.autograd.grad(loss, [s.vectors for s in given], allow_unused=True)
    # Of nce the positive's expected count is that of every column: k / N.
    ids = proposed[0].ids.expand(B, -1)
    expected, gradients = by_hand(objective, ids, columns, columns[0][1], before)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    for mine, theirs in zip(found, gradients, strict=True):
        mine = torch.zeros(theirs.shape) if mine is None else mine
        torch.testing.assert_close(mine, theirs.float(), rtol=1e-4, atol=1e-6)
    assert metrics["negatives"] == proposed[0].mask.sum() / B


FRESH = [{**UNIFORM, "fresh": True}, {**EACH, "fresh": True}, ["queue", {**UNIFORM, "k": 3, "fresh": True}]]


@pytest.mark.parametrize("negatives", FRESH, ids=str)
def test_fresh_rows_take_part_anew_with_gradient_and_others_as_they_were(negatives: Any) -> None:
    (contrast, proposed), encoder, given = make(negatives), BagOfWords(WORDS, WIDTH), batch()
    before = state(contrast)
    loss, _ = contrast(*given, encoder)
    (found,) = torch.autograd.grad(loss, encoder.words.weight)

    words = encoder.words.weight.detach().double().requires_grad_()
    span = len(given[1].keys) + HARD
    fresh = set((proposed[0].fresh - span).tolist())
    rows = []
    for row in range(BANK):
        mean = words[before["tokens"][row, : before["lengths"][row]].long()].mean(0)
        rows.append(mean / mean.norm() if row in fresh else before["vectors"][row].double())
    losses = []
    for i, (anchor, positive) in enumerate(zip(*(s.vectors.detach().double() for s in given[:2]), strict=True)):
        ids, mask = proposed[0].ids.expand(B, -1)[i], proposed[0].mask[i]
        near = [(anchor @ rows[j - span] / TEMPERATURE).exp() for j, use in zip(ids, mask, strict=True) if use]
        own = (anchor @ positive / TEMPERATURE).exp()
        losses.append(-(own / (own + sum(near))).log())
    reference = torch.stack(losses).mean()
    (expected,) = torch.autograd.grad(reference, words)
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-6)

    kept = slice(2, 7)  # the batch itself was written to rows 7, 8, 0 and 1
    assert fresh & set(range(2, 7))
    written = torch.stack(rows)[kept].detach()
    torch.testing.assert_close(contrast.bank.vectors[kept].double(), written, rtol=0, atol=1e-3)


def test_without_fresh_rows_nothing_is_encoded_and_the_bank_stays_constant() -> None:
    def encode(*_: Any) -> Tensor:
        raise AssertionError("nothing was to be encoded")

    contrast, _ = make(["queue", UNIFORM])
    contrast(*batch(), encode)[0].backward()
    assert not contrast.bank.vectors.requires_grad


def test_the_positives_are_written_to_the_bank() -> None:
    contrast, _ = make("queue")
    before, (anchors, positives, hard) = state(contrast), batch()
    contrast(anchors, positives, hard)
    bank, places = contrast.bank, [7, 8, 0, 1]
    assert torch.equal(bank.keys[places], positives.keys) and torch.equal(bank.anchor_keys[places], anchors.keys)
    assert torch.equal(bank.vectors[places], positives.vectors.detach().half())
    ids, mask, _ = bank.sentences(torch.tensor(places))
    assert torch.equal(ids, positives.input_ids) and torch.equal(mask, positives.attention_mask)
    assert all(torch.equal(before[name][2:7], value[2:7]) for name, value in state(contrast).items() if value.dim())


def test_measuring_changes_nothing() -> None:
    contrast, proposed = make(FRESH[0])
    before = state(contrast)
    contrast.eval()(*batch(), BagOfWords(WORDS, WIDTH))
    assert all(torch.equal(before[name], value) for name, value in state(contrast).items())
    contrast.train()(*batch(), BagOfWords(WORDS, WIDTH))
    again, first = make(FRESH[0])
    again(*batch(), BagOfWords(WORDS, WIDTH))
    assert torch.equal(proposed[1].ids, first[0].ids)  # nor do the draws of training move on


def draws(steps: list[int], **options: Any) -> list[list[int]]:
    """What is drawn in a run whose micro-steps belong to these optimizer steps."""
    contrast, proposed = make(UNIFORM, gather=False, **options)
    for contrast.step in steps:
        contrast(*batch())
    return [negatives.ids.tolist() for negatives in proposed]


def test_draws_follow_from_seed_step_microstep_and_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draws([0, 0, 1, 1])
    assert draws([0, 0, 1, 1]) == whole
    assert draws([1, 1]) == whole[2:]  # resumed
    other_seed = draws([0, 0, 1, 1], seed=1)
    monkeypatch.setattr("hf_contrastive.training.draws.rank", lambda: 1)
    all_draws = whole + other_seed + draws([0, 0, 1, 1])
    assert len({tuple(ids) for ids in all_draws}) == 12


ADVERSARY = {"name": "adversarial", "width": WIDTH, "k": 3}


@pytest.mark.parametrize(
    "negatives",
    [
        FRESH[0],
        EACH,
        {"name": "cached", "slots": 8},
        ADVERSARY | {"pool_size": 5},
        ADVERSARY | {"estimator": "reinforce"},
    ],
    ids=str,
)
def test_draws_leave_torchs_random_numbers_alone(negatives: Any) -> None:
    (contrast, _), encoder, given = make(negatives), BagOfWords(WORDS, WIDTH), batch()
    before = torch.get_rng_state()
    contrast(*given, encoder)[0].backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_learned_sampler_hears_the_loss_of_each_negative_when_it_is_due() -> None:
    class Learned(type(build_negatives([UNIFORM]))):
        optimizer_options, update_every = {"lr": 1.0}, 2

        def __init__(self) -> None:
            super().__init__(k=7, fresh=True)
            self.scale = nn.Parameter(torch.tensor(3.0))

        def feedback(self, negatives: Negatives, reward: Tensor) -> Tensor:
            self.reward = reward
            return self.scale * reward.mean()

    (plain, _), (contrast, proposed), encoder = (
        make({**UNIFORM, "fresh": True}),
        make(Learned()),
        BagOfWords(WORDS, WIDTH),
    )
    (anchors, positives, hard), sampler = batch(), contrast.negatives
    base, loss = plain(anchors, positives, hard, encoder)[0], contrast(anchors, positives, hard, encoder)[0]
    vectors = encoder(*filled_bank().sentences(proposed[0].ids - B - HARD))
    near, own = anchors.vectors @ vectors.T, (anchors.vectors * positives.vectors).sum(1, keepdim=True)
    torch.testing.assert_close(sampler.reward, (1 + ((near - own) / TEMPERATURE).exp()).log())
    assert not sampler.reward.requires_grad
    torch.testing.assert_close(loss - base, 3 * sampler.reward.mean())

    contrast.step = plain.step = 1  # not due: its parameters are in the graph all the same
    loss = contrast(anchors, positives, hard, encoder)[0]
    torch.testing.assert_close(loss, plain(anchors, positives, hard, encoder)[0])
    loss.backward()
    assert sampler.scale.grad == 0


def test_nce_with_uniform_draws_learns_pairs() -> None:
    torch.manual_seed(0)
    pairs, encoder = 12, BagOfWords(WORDS, WIDTH)
    contrast = Contrast(
        build_negatives([{"name": "uniform", "k": 16, "fresh": True}]),
        OBJECTIVES["nce"](0.2),
        SentenceBank(24, 3, WIDTH, pad_id=0),
    )
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.1)
    words = torch.arange(1, 2 * pairs + 1).reshape(2, pairs, 1)
    mask = torch.ones(pairs, 1, dtype=torch.long)

    def found() -> float:
        """Share of anchors whose own positive is the nearest."""
        anchors, positives = (encoder(side, mask, [1] * pairs) for side in words)
        return ((anchors @ positives.T).argmax(1) == torch.arange(pairs)).float().mean().item()

    assert found() < 0.3
    for contrast.step in range(80):
        rows = torch.randperm(pairs)[:8]
        sides = [encoder(side[rows], mask[rows], [1] * 8) for side in words]
        keys = [rows, 100 + rows]
        anchors, positives = (
            Sentences(v, k, None, w[rows], mask[rows]) for v, k, w in zip(sides, keys, words, strict=True)
        )
        loss, _ = contrast(anchors, positives, None, encoder)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert contrast.bank.written.all() and loss.isfinite()
    assert found() > 0.9
