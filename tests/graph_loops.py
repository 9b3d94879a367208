"""What a step of triples or of pairs should lose, one by one in float64.

Scores are the papers' formulas for a single triple or pair, losses and their slopes those of formulas.py; autograd
only carries the slopes of the scores to the tables.
"""

from collections.abc import Sequence

import torch
from formulas import FORMULAS
from torch import Tensor

from hf_contrastive.models import KnowledgeGraphModel, OrderEmbeddingModel

Term = tuple[Tensor, float, float]  # of a negative: score, weight, expected count


def complex_row(row: Tensor) -> Tensor:
    return torch.complex(*row.chunk(2))


def triple_score(model: KnowledgeGraphModel, head: int, relation: int, tail: int) -> Tensor:
    """Of one triple."""
    kind, norm = model.config.interaction, model.interaction.norm
    h, r, t = model.entity_embeddings[head], model.relation_embeddings[relation], model.entity_embeddings[tail]
    if kind == "distmult":
        return (h * r * t).sum()
    if kind == "complex":
        return (complex_row(h) * complex_row(r) * complex_row(t).conj()).real.sum()
    if kind == "rotate":
        moduli = (complex_row(h) * torch.polar(torch.ones_like(r), r) - complex_row(t)).abs()
        return -moduli.sum() if norm == 1 else -moduli.square().sum().sqrt()
    if kind == "transd":
        projection, moved = model.relation_projections[relation], []
        for vector, entity in ((h, head), (t, tail)):
            m = vector + (model.entity_projections[entity] @ vector) * projection
            moved.append(m / m.norm() if m.norm() > 1 else m)
        h, t = moved
    difference = h + r - t
    if norm == 1:
        return -difference.abs().sum()
    return -difference.square().sum() if kind == "transd" else -difference.square().sum().sqrt()


def penalty(model: KnowledgeGraphModel, kind: str, head: int, relation: int, tail: int) -> Tensor:
    """Sum of squares or of cubed moduli of a triple's rows; phases have no length."""
    rows = [model.entity_embeddings[head], model.entity_embeddings[tail]]
    if model.config.interaction != "rotate":
        rows.append(model.relation_embeddings[relation])
    if kind == "l2":
        return torch.stack([row.square().sum() for row in rows]).sum()
    is_complex = model.config.interaction in ("complex", "rotate")
    return torch.stack([(complex_row(row) if is_complex else row).abs().pow(3).sum() for row in rows]).sum()


def pair_violation(order: OrderEmbeddingModel, child: int, ancestor: int) -> Tensor:
    """Of one pair."""
    below, above = order.concept_embeddings[child], order.concept_embeddings[ancestor]
    return torch.stack([(y - x) ** 2 for x, y in zip(below, above, strict=True) if y > x] or [0 * below[0]]).sum()


def lose(objective: str, positive: Tensor, negatives: Sequence[Term], count: float = 1.0) -> Tensor:
    """The loss of one anchor, with the gradient that its formula has for each score."""
    terms = [(score.item(), weight, expected) for score, weight, expected in negatives]
    loss, slope, slopes = FORMULAS[objective](positive.item(), terms, count)
    carried = slope * positive + sum(by * score for by, (score, *_) in zip(slopes, negatives, strict=True))
    return carried - carried.detach() + loss


def gradients(loss: Tensor, tables: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, tables, allow_unused=True)
    return [torch.zeros_like(table) if grad is None else grad for grad, table in zip(found, tables, strict=True)]


def dense(table: Tensor) -> Tensor:
    assert table.grad is not None
    return table.grad.to_dense()
