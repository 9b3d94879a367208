"""Knowledge graph embeddings of every kind in float64, and the scores that the papers' formulas give them."""

import pytest
import torch
from torch import Tensor

from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel

E, R, D = 9, 3, 6
KINDS = [
    ("transe", 1),
    ("transe", 2),
    ("transd", 1),
    ("transd", 2),
    ("distmult", None),
    ("complex", None),
    ("rotate", 1),
    ("rotate", 2),
]
every_kind = pytest.mark.parametrize("interaction, norm", KINDS)


def make(interaction: str, norm: int | None = None, **options) -> KnowledgeGraphModel:
    torch.manual_seed(0)
    config = KnowledgeGraphConfig(E, R, interaction, D, norm, **{"initial_range": 0.7} | options)
    return KnowledgeGraphModel(config).double()


def complex_rows(rows: Tensor) -> Tensor:
    return torch.complex(*rows.chunk(2, -1))


def reference(model: KnowledgeGraphModel, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
    """Scores of triples, ids of one shape, by the papers' formulas."""
    norm, interaction = model.interaction.norm, model.config.interaction
    h, r, t = model.entity_embeddings[heads], model.relation_embeddings[relations], model.entity_embeddings[tails]
    if interaction == "distmult":
        return torch.einsum("...d,...d,...d->...", h, r, t)
    if interaction == "complex":
        return (complex_rows(h) * complex_rows(r) * complex_rows(t).conj()).real.sum(-1)
    if interaction == "rotate":
        moduli = (complex_rows(h) * torch.polar(torch.ones_like(r), r) - complex_rows(t)).abs()
        return -moduli.sum(-1) if norm == 1 else -moduli.square().sum(-1).sqrt()
    if interaction == "transd":
        r_p = model.relation_projections[relations]
        identity = torch.eye(D, dtype=h.dtype)
        projected = []
        for vector, ids in ((h, heads), (t, tails)):
            matrix = identity + r_p.unsqueeze(-1) * model.entity_projections[ids].unsqueeze(-2)
            moved = (matrix @ vector.unsqueeze(-1)).squeeze(-1)
            length = moved.norm(dim=-1, keepdim=True)
            projected.append(torch.where(length > 1, moved / length, moved))
        h, t = projected
    difference = h + r - t
    if norm == 1:
        return -difference.abs().sum(-1)
    squares = difference.square().sum(-1)
    return -squares if interaction == "transd" else -squares.sqrt()


def batch(size: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    heads, relations, tails = (torch.randint(n, (size,), generator=generator) for n in (E, R, E))
    return heads, relations, (tails + (tails == heads)) % E


POOLS = {"shared": torch.tensor([0, 3, 3, 8]), "own": torch.arange(15).view(5, 3) % E, "all": None}
