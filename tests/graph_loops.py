"""What a step of triples or of pairs should lose, one by one in float64.

Scores are the papers' formulas for a single triple or pair, losses and their slopes those of formulas.py; autograd
only carries the slopes of the scores to the tables.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from contexts import Told
from formulas import FORMULAS
from torch import Tensor

from hf_contrastive.models import KnowledgeGraphModel, OrderEmbeddingModel
from hf_contrastive.negatives import Context, Negatives

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
    below, above = order.concept_embeddings[child].abs(), order.concept_embeddings[ancestor].abs()
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


class ToldByAnchor(Told):
    """Told for each of N anchors that may be asked about, and keeps who was asked about and what it was shown.

    Args:
        place: which of the N the anchors of a context are.
        ids: [P] for all, or [N, K].
        mask, weights: [N, P] or [N, K].
    """

    def __init__(
        self,
        place: Callable[[Context], list[int]],
        ids: Tensor,
        mask: Tensor,
        weights: Tensor | None = None,
        **of: Any,
    ) -> None:
        super().__init__(ids, mask, weights, **of)
        self.place = place
        self.rows: list[list[int]] = []
        self.contexts: list[Context] = []

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        rows = self.place(context)
        self.rows.append(rows)
        self.contexts.append(context)
        fields = {name: value[rows] for name, value in self.fields.items()}
        return Negatives(self.ids if self.ids.dim() == 1 else self.ids[rows], self.mask[rows].clone(), **fields)

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        return None if self.weights is None else self.weights[self.rows[-1]]


def random_mask(rows: int, columns: int, seed: int = 3) -> Tensor:
    """A third is False, and nothing in the first column."""
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) > 1 / 3
    mask[:, 0] = True
    return mask


def random_weights(rows: int, columns: int, seed: int = 4) -> Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.double) + 0.5
