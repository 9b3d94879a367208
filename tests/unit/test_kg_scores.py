"""Scores and gradients of knowledge graph embeddings against formulas that make every [B, P, D] tensor."""

import pytest
import torch
from kg_formulas import POOLS, D, E, R, batch, complex_rows, every_kind, make, reference
from torch import Tensor

from hf_contrastive.models import KnowledgeGraphModel, kg_scores, knowledge_graph


def gradients(model: KnowledgeGraphModel, scores: Tensor) -> list[Tensor]:
    """Of a random weighted sum of the scores, for every table."""
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(2), dtype=scores.dtype)
    found = torch.autograd.grad((weights * scores).sum(), list(model.parameters()))
    return [grad.to_dense() for grad in found]


@every_kind
def test_scores_and_gradients_of_triples_are_the_formulas(interaction: str, norm: int | None) -> None:
    model = make(interaction, norm)
    expected, found = reference(model, *batch()), model(*batch())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(model, found), gradients(model, expected), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cells", [1 << 20, 1, 2 * 4 * D])
@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("pool", POOLS)
@every_kind
def test_scores_and_gradients_of_candidates_are_the_formulas(
    interaction: str, norm: int | None, pool: str, side: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kg_scores, "_CELLS", cells)
    model, candidates = make(interaction, norm), POOLS[pool]
    heads, relations, tails = batch()
    every = torch.arange(E) if candidates is None else candidates
    every = every.expand(5, -1)
    if side == "tail":
        found = model.score_tails(heads, relations, candidates)
        expected = reference(
            model, heads.unsqueeze(1).expand_as(every), relations.unsqueeze(1).expand_as(every), every
        )
    else:
        found = model.score_heads(relations, tails, candidates)
        expected = reference(
            model, every, relations.unsqueeze(1).expand_as(every), tails.unsqueeze(1).expand_as(every)
        )
    assert found.shape == every.shape
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(model, found), gradients(model, expected), rtol=1e-9, atol=1e-11)


def test_both_sides_of_transds_cut_are_tried() -> None:
    model = make("transd")
    e, r_p = model.entity_embeddings, model.relation_projections
    lengths = (e + (e * model.entity_projections).sum(1, keepdim=True) * r_p.unsqueeze(1)).norm(dim=-1)
    assert (lengths < 0.98).sum() > 3 and (lengths > 1.02).sum() > 3


@pytest.mark.parametrize("side", ["head", "tail", 2])
@every_kind
def test_a_batch_is_looked_up_once_and_scored_as_apart(
    interaction: str, norm: int | None, side: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge_graph, "DENSE_FROM", 1e9)
    model = make(interaction, norm)
    heads, relations, tails = batch()
    shared, own = POOLS["shared"], POOLS["own"]
    scores = model.score_batch(heads, relations, tails, [shared, own], side)
    torch.testing.assert_close(scores.positive, model.score(heads, relations, tails), rtol=1e-10, atol=1e-12)
    of_head = {"head": len(heads), "tail": 0}.get(side, side)
    for found, pool in zip(scores.pools, (shared, own), strict=True):
        apart = [model.score_heads(relations, tails, pool), model.score_tails(heads, relations, pool)]
        expected = torch.cat([apart[0][:of_head], apart[1][of_head:]])
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    known, filled = (torch.cat([a[:of_head], b[of_head:]]) for a, b in ((tails, heads), (heads, tails)))
    rows = [model.entity_embeddings[known], model.relation_embeddings[relations], model.entity_embeddings[filled]]
    rows = rows[::2] if interaction == "rotate" else rows
    assert all(torch.equal(*pair) for pair in zip(scores.rows, rows, strict=True))
    sum(pool.sum() for pool in scores.pools).backward()
    for name, parameter in model.named_parameters():
        looked_up = 5 if name.startswith("relation") else 5 + 5 + 4 + 15
        assert parameter.grad.is_sparse and parameter.grad._nnz() == looked_up
    few = {name: parameter.grad.to_dense() for name, parameter in model.named_parameters()}
    model.zero_grad()
    monkeypatch.setattr(knowledge_graph, "DENSE_FROM", 0.0)
    sum(pool.sum() for pool in model.score_batch(heads, relations, tails, [shared, own], side).pools).backward()
    assert not model.entity_embeddings.grad.is_sparse
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad.to_dense(), few[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("interaction, norm", [("transe", 1), ("transe", 2), ("rotate", 1), ("rotate", 2)])
def test_a_point_has_no_distance_from_itself_and_no_gradient(interaction: str, norm: int) -> None:
    model = make(interaction, norm).float()
    with torch.no_grad():
        model.relation_embeddings.zero_()
    heads, relations = torch.arange(E), torch.zeros(E, dtype=torch.long)
    for scores in (model.score(heads, relations, heads), model.score_tails(heads, relations).diag()):
        assert scores.abs().max() < 1e-15
        model.zero_grad()
        scores.sum().backward()
        assert all((p.grad.to_dense() == 0).all() for p in model.parameters())


@pytest.mark.parametrize("interaction", ["transe", "transd", "rotate"])
def test_rounding_of_squares_does_not_blow_up_gradients(interaction: str) -> None:
    """Points far from zero and close together: |q|^2 + |e|^2 - 2 q . e has few digits left."""
    torch.manual_seed(0)
    model = make(interaction, 2).float()
    with torch.no_grad():
        model.entity_embeddings.copy_(3 + 1e-4 * torch.randn(E, D))
        model.relation_embeddings.mul_(1e-5)
    heads, relations = torch.arange(E), torch.arange(E) % R
    scores = model.score_tails(heads, relations)
    expected = reference(model.double(), heads.unsqueeze(1), relations.unsqueeze(1), heads.expand(E, E))
    assert (scores - expected).abs().max() < 1e-2 and scores.isfinite().all()
    model.float()
    torch.autograd.backward(model.score_tails(heads, relations).sum())
    assert model.entity_embeddings.grad.abs().max() <= 2 * E * 1.01  # a distance has a slope of 1


@every_kind
def test_scores_are_exact_under_autocast(interaction: str, norm: int | None) -> None:
    model = make(interaction, norm).float()
    heads, relations, tails = batch()

    def scores() -> list[Tensor]:
        several = model.score_batch(heads, relations, tails, list(POOLS.values())[:2], "head")
        queries = model.queries(heads, relations, "tail")
        return [model.score_tails(heads, relations), several.positive, *several.pools, queries]

    with torch.autocast("cpu", torch.bfloat16):
        under = scores()
    assert all(torch.equal(*pair) for pair in zip(under, scores(), strict=True))


@pytest.mark.parametrize("side", ["head", "tail"])
@every_kind
def test_anchors_are_compared_with_rows(interaction: str, norm: int | None, side: str) -> None:
    model = make(interaction, norm)
    heads, relations, tails = batch()
    anchors = model.anchors(heads if side == "tail" else tails, relations, side)
    assert anchors.shape == (5, D) and not anchors.requires_grad
    assert model.queries(heads, relations, side).requires_grad
    scores = model.score_tails(heads, relations) if side == "tail" else model.score_heads(relations, tails)
    rows = model.entity_embeddings.detach()
    if interaction in ("distmult", "complex"):
        expected = anchors @ rows.T
    elif interaction == "transd":
        projected = rows + (rows * model.entity_projections).sum(1, keepdim=True) * model.relation_projections[
            relations
        ].unsqueeze(1)
        projected = projected / projected.norm(dim=-1, keepdim=True).clamp(min=1)
        expected = -((anchors.unsqueeze(1) - projected).norm(norm, dim=-1) ** norm)
    else:
        differences = anchors.unsqueeze(1) - rows
        if (interaction, norm) == ("rotate", 1):
            differences = complex_rows(differences).abs()
        expected = -differences.norm(norm, dim=-1)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-12)


def test_reciprocal_relations_have_rows_of_their_own() -> None:
    model = make("complex", reciprocal=True)
    assert model.relation_embeddings.shape == (2 * R, D) and model.config.num_relations == R
    heads, relations, tails = batch()
    found = model.score_tails(tails, relations + R)
    expected = reference(model, tails.unsqueeze(1), (relations + R).unsqueeze(1), torch.arange(E).expand(5, E))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
