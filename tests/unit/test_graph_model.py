"""A step on a knowledge graph: loss and gradients are those of a loop over its queries."""

import pytest
import torch
from graph_loops import penalty
from graph_models import (
    HEADS,
    QUERIES,
    RELATIONS,
    TAILS,
    TRIPLES,
    B,
    asked,
    assert_loss_and_gradients,
    loop,
    make,
    reciprocal_or_not,
    step,
    told_of,
)
from kg_formulas import every_kind

from hf_contrastive.models import knowledge_graph


@pytest.mark.parametrize("pool", ["shared", "own"])
@pytest.mark.parametrize("objective", ["infonce", "negative_sampling", "triplet"])
@reciprocal_or_not
@every_kind
def test_loss_and_gradients_are_those_of_a_loop(
    interaction: str, norm: int | None, reciprocal: bool, objective: str, pool: str
) -> None:
    told = told_of(pool)
    model = make(objective, told, interaction, norm, reciprocal)
    output = step(model)
    assert sorted(sum(told.rows, [])) == sorted(asked(reciprocal))
    assert [len(rows) for rows in told.rows] == [2 * B if reciprocal else B]
    assert_loss_and_gradients(model, output, loop(model, objective, told))


@reciprocal_or_not
@every_kind
def test_softmax_is_over_all_entities(interaction: str, norm: int | None, reciprocal: bool) -> None:
    model = make("softmax", None, interaction, norm, reciprocal)
    assert_loss_and_gradients(model, step(model), loop(model, "softmax", None))


@pytest.mark.parametrize("objective", ["sampled_softmax", "nce"])
@reciprocal_or_not
def test_draws_are_corrected_by_their_probability(objective: str, reciprocal: bool) -> None:
    log_q = torch.rand(2 * B, 6, generator=torch.Generator().manual_seed(5), dtype=torch.double).log()
    told = told_of("own", log_q=log_q[:, :5], positive_log_q=log_q[:, 5])
    model = make(objective, told, "complex", None, reciprocal)
    assert_loss_and_gradients(model, step(model), loop(model, objective, told))


@pytest.mark.parametrize("regularizer", ["l2", "n3"])
@pytest.mark.parametrize("objective", ["infonce", "softmax"])
@reciprocal_or_not
@every_kind
def test_a_regulariser_counts_once_for_each_query(
    interaction: str, norm: int | None, reciprocal: bool, objective: str, regularizer: str
) -> None:
    told = told_of("own") if objective == "infonce" else None
    options = {"regularizer": regularizer, "regularizer_weight": 0.3}
    model = make(objective, told, interaction, norm, reciprocal, **options)
    output = step(model)
    assert_loss_and_gradients(model, output, loop(model, objective, told))
    without = step(make(objective, told, interaction, norm, reciprocal))
    rows = [
        penalty(model.graph, regularizer, *(QUERIES[query] if reciprocal else TRIPLES[query % B]))
        for query in asked(reciprocal)
    ]
    assert output.loss.item() - without.loss.item() == pytest.approx(0.3 * sum(rows).item(), rel=1e-9)


def test_a_loss_is_a_sum_over_triples() -> None:
    def loss(*rows: int) -> float:
        model = make("softmax", None, "complex")
        return model(*(torch.tensor([triple[i] for triple in map(TRIPLES.__getitem__, rows)]) for i in range(3))).loss

    assert loss(0, 1, 2, 3).item() == pytest.approx((loss(0, 2) + loss(1) + loss(3)).item(), rel=1e-12)


def test_gradients_are_sparse_unless_every_entity_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge_graph, "DENSE_FROM", 1e9)
    told = told_of("shared")
    model = make("infonce", told)
    step(model).loss.backward()
    touched = [set(table.grad.coalesce().indices()[0].tolist()) for table in model.tables]
    assert touched[0] == {*HEADS, *TAILS, *told.ids.tolist()} and touched[1] == set(RELATIONS)
    everything = make("softmax")
    step(everything).loss.backward()
    assert [table.grad.is_sparse for table in everything.tables] == [False, True]
