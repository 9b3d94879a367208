"""Objectives and penalties on the scores of knowledge graph embeddings."""

import math

import pytest
import torch
from kg_formulas import POOLS, E, batch, every_kind, make, reference
from torch import Tensor
from torch.nn.functional import cross_entropy

from hf_contrastive.models import KnowledgeGraphModel
from hf_contrastive.models.kg_regularizers import l2, n3
from hf_contrastive.objectives import NCE, FullSoftmax, InfoNCE, NegativeSampling, Triplet


@pytest.mark.parametrize(
    "objective", [InfoNCE(), NegativeSampling(margin=2.0), NegativeSampling(), Triplet(margin=1.0)]
)
@every_kind
def test_objectives_may_overwrite_scores(interaction: str, norm: int | None, objective) -> None:
    model = make(interaction, norm)
    found = []
    for copy in (False, True):
        scores = model.score_batch(*batch(), [POOLS["shared"]], "tail")
        pool = scores.pools[0].clone() if copy else scores.pools[0]
        mask = torch.arange(4) < torch.tensor([4, 3, 2, 1, 0]).unsqueeze(1)
        loss = objective.contrast(scores.positive, pool, mask)
        found.append([loss, *(g.to_dense() for g in torch.autograd.grad(loss, list(model.parameters())))])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-13)


@every_kind
def test_infonce_over_all_entities_is_one_vs_all(interaction: str, norm: int | None) -> None:
    model = make(interaction, norm)
    heads, relations, tails = batch()
    expected = cross_entropy(reference_of_all(model, heads, relations), tails)
    scores = model.score_batch(heads, relations, tails, [torch.arange(E)], "tail")
    others = torch.arange(E) != tails.unsqueeze(1)
    found = InfoNCE().contrast(scores.positive, scores.pools[0], others)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    parameters = list(model.parameters())
    torch.testing.assert_close(
        [g.to_dense() for g in torch.autograd.grad(found, parameters)],
        list(torch.autograd.grad(expected, parameters, retain_graph=True)),
        rtol=1e-9,
        atol=1e-11,
    )
    if interaction in ("distmult", "complex"):
        queries = model.queries(heads, relations, "tail")
        positive, one = scores.positive.unsqueeze(1), torch.ones(5, 1, dtype=torch.bool)
        found = FullSoftmax()(queries, model.entity_embeddings, positive, one)
        assert found.item() == pytest.approx(expected.item(), rel=1e-10)


def reference_of_all(model: KnowledgeGraphModel, heads: Tensor, relations: Tensor) -> Tensor:
    return reference(
        model, *(x.unsqueeze(1).expand(-1, E) for x in (heads, relations)), torch.arange(E).expand(len(heads), E)
    )


def test_a_margin_is_added_to_every_score() -> None:
    """RotatE's loss, written from its formula, self-adversarial weights included."""
    torch.manual_seed(0)
    gamma, alpha, distances = 3.0, 0.5, 6 * torch.rand(4, 6, dtype=torch.float64)
    positive, negative = distances[:, 0], distances[:, 1:]
    weights = (-alpha * negative).softmax(1)
    total = 0.0
    for i in range(4):
        total -= math.log(1 / (1 + math.exp(positive[i] - gamma)))
        total -= sum(weights[i, j] * math.log(1 / (1 + math.exp(gamma - negative[i, j]))) for j in range(5))
    objective = NegativeSampling(margin=gamma)
    assert objective.contrast(-positive, -negative, None, weights).item() == pytest.approx(float(total) / 4)
    alone = objective.per_negative(-positive, -negative)
    torch.testing.assert_close(alone, -torch.sigmoid(negative - gamma).log())
    pairs = torch.ones(4, 1, dtype=torch.bool)
    several = objective.contrast(-positive.unsqueeze(1), -negative, None, weights, pairs=pairs)
    assert several.item() == pytest.approx(float(total) / 4)
    log_q = torch.tensor(0.1).log()
    shifted = NCE().contrast(gamma - positive, gamma - negative, None, None, log_q, log_q.expand(4))
    assert NCE(margin=gamma).contrast(-positive, -negative, None, None, log_q, log_q.expand(4)) == shifted


@pytest.mark.parametrize("is_complex", [True, False])
def test_penalties_are_sums_over_the_rows_of_a_batch(is_complex: bool) -> None:
    torch.manual_seed(0)
    rows = [torch.randn(4, 6, dtype=torch.float64) for _ in range(3)]
    squares = cubes = 0.0
    for row in torch.stack(rows).flatten(0, 1).tolist():
        numbers = [complex(a, b) for a, b in zip(row[:3], row[3:], strict=True)] if is_complex else row
        squares += sum(abs(x) ** 2 for x in numbers)
        cubes += sum(abs(x) ** 3 for x in numbers)
    assert l2(rows, is_complex).item() == pytest.approx(squares / 4)
    assert n3(rows, is_complex).item() == pytest.approx(cubes / 4)
    zero = torch.zeros(2, 4, requires_grad=True)
    (l2([zero], is_complex) + n3([zero], is_complex)).backward()
    assert (zero.grad == 0).all()
