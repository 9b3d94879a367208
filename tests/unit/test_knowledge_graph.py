"""Tables of knowledge graph embeddings: initial values, lengths, a saved model, settings that cannot be."""

import math
from pathlib import Path

import pytest
import torch
from kg_formulas import E, R, batch, every_kind, make
from torch import Tensor
from torch.nn.functional import normalize

from hf_contrastive.errors import RecipeError
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel, kg_scores

every_interaction = pytest.mark.parametrize("interaction", ["transe", "transd", "distmult", "complex", "rotate"])


@pytest.mark.parametrize(
    "interaction, norm, entities",
    [
        ("transe", None, 6 / math.sqrt(20)),
        ("transd", None, 6 / math.sqrt(20)),
        ("distmult", None, 0.28),
        ("complex", None, 0.28),
        ("rotate", 2, 6 / math.sqrt(20)),
        ("rotate", 1, 1.1),
    ],
)
def test_initial_values(interaction: str, norm: int | None, entities: float) -> None:
    torch.manual_seed(0)
    for given, scale in ((None, entities), (0.05, 0.05)):
        config = KnowledgeGraphConfig(500, 100, interaction, 20, norm, initial_range=given)
        model = KnowledgeGraphModel(config)
        assert 0.98 * scale < model.entity_embeddings.abs().max() <= scale
        assert model.entity_embeddings.std().item() == pytest.approx(scale / math.sqrt(3), rel=0.02)
        relations = model.relation_embeddings
        if interaction == "rotate":
            assert relations.shape == (100, 10) and 0.98 * math.pi < relations.abs().max() <= math.pi
        elif interaction in ("transe", "transd"):
            torch.testing.assert_close(relations.norm(dim=1), torch.ones(100))
        else:
            assert 0.98 * scale < relations.abs().max() <= scale
        if interaction == "transd":
            for table in (model.entity_projections, model.relation_projections):
                assert table.std().item() == pytest.approx(1 / math.sqrt(20), rel=0.05)


@pytest.mark.parametrize("interaction", ["transe", "distmult", "transd"])
def test_lengths_are_put_back_where_asked(interaction: str) -> None:
    model = make(interaction, constrained=True)

    def right(table: Tensor) -> bool:
        lengths = table.norm(dim=1)
        return bool((lengths <= 1 + 1e-6).all()) and (interaction == "transd" or bool((lengths >= 1 - 1e-6).all()))

    assert right(model.entity_embeddings)
    with torch.no_grad():
        for table in (model.entity_embeddings, model.relation_embeddings):
            table.copy_(3 * normalize(torch.randn_like(table), dim=1))
            table[:2] /= 5
    before = [table.detach().clone() for table in (model.entity_embeddings, model.relation_embeddings)]
    some = torch.tensor([4, 1])
    model.renormalize_(some, some[1:])
    assert right(model.entity_embeddings[some])
    rest = [row for row in range(E) if row not in some]
    assert torch.equal(model.entity_embeddings[rest], before[0][rest])
    assert torch.equal(model.relation_embeddings[2], before[1][2])
    model.renormalize_()
    assert right(model.entity_embeddings)
    cosines = (normalize(before[0], dim=1) * normalize(model.entity_embeddings, dim=1)).sum(1)
    torch.testing.assert_close(cosines, torch.ones_like(cosines))
    if interaction == "transd":
        assert right(model.relation_embeddings) and torch.equal(model.relation_embeddings[1], before[1][1])
        assert torch.equal(model.entity_embeddings[0], before[0][0])  # shorter than 1: left as it is
    else:
        assert torch.equal(model.relation_embeddings, before[1])
    free = make(interaction)
    before = free.entity_embeddings.detach().clone()
    free.renormalize_()
    assert torch.equal(free.entity_embeddings, before)


@every_kind
def test_a_saved_model_is_the_same(tmp_path: Path, interaction: str, norm: int | None) -> None:
    constrained = interaction in ("transe", "transd", "distmult")
    model = make(interaction, norm, reciprocal=True, constrained=constrained).float()
    with torch.no_grad():
        for table in model.parameters():
            table.mul_(2.5)  # neither as initialised nor as constrained
    model.save_pretrained(tmp_path)
    again = KnowledgeGraphModel.from_pretrained(tmp_path)
    assert again.config.interaction == interaction and again.interaction.norm == model.interaction.norm
    assert again.config.constrained == constrained and again.config.reciprocal
    for (name, table), (other, copy) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert name == other and torch.equal(table, copy)
    assert torch.equal(model(*batch()), again(*batch()))


def test_usual_norms() -> None:
    norms = {kind: make(kind).interaction.norm for kind in kg_scores.INTERACTIONS}
    assert norms == {"transe": 1, "transd": 2, "distmult": None, "complex": None, "rotate": 2}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"interaction": "transh"}, "interaction: unknown interaction 'transh'; choose one of .*'transd'"),
        ({"interaction": "transe", "norm": 3}, "norm: transe cannot have norm 3; choose 1 or 2"),
        ({"interaction": "complex", "norm": 2}, "norm: complex cannot have norm 2; leave it out"),
        ({"interaction": "rotate", "dimension": 5}, "dimension: must be even, half of it imaginary parts for rotate"),
        ({"interaction": "transe", "dimension": 0}, "dimension: must be positive for transe, got 0"),
        ({"interaction": "rotate", "constrained": True}, "constrained: rotate has no constraint"),
        ({"initial_range": 0.0}, "initial_range: must be greater than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        KnowledgeGraphConfig(E, R, **options)


@every_interaction
def test_an_interaction_refuses_a_norm_it_does_not_have(interaction: str) -> None:
    with pytest.raises(ValueError, match="must be .*, got 3"):
        kg_scores.INTERACTIONS[interaction](3)
