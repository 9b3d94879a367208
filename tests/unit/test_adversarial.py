"""What the adversarial generator learns: a bank with planted rows, rewards of an encoder that stays as it is."""

import math

import pytest
import torch
from adversaries import BANK, BATCH, WIDTH, make_context
from contexts import unit

from hf_contrastive.negatives import AdversarialNegatives, Context, Negatives


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
