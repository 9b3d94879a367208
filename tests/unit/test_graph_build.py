"""Models of knowledge graphs as recipes have them: initial values, arguments that do not fit, state, draws."""

from typing import Any

import pytest
import torch
from graph_models import built, make, random_graph, step
from kg_formulas import E, R
from queries import assert_draws_follow_from_seed_and_step, assert_initial_values_follow_from_the_seed

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import build_sampler
from hf_contrastive.objectives import NegativeSampling, Triplet
from hf_contrastive.training import table_sampler
from hf_contrastive.training.graphs import ContrastiveGraphModel
from hf_contrastive.training.graphs.build import head_probability


def test_initial_values_follow_from_the_seed_alone() -> None:
    graph = random_graph()
    assert_initial_values_follow_from_the_seed(lambda seed: built(graph, seed=seed).graph.entity_embeddings)


def test_counts_are_of_both_ends_in_training() -> None:
    graph = random_graph()
    ends = graph.train.heads.tolist() + graph.train.tails.tolist()
    assert built(graph).counts.tolist() == [ends.count(entity) for entity in range(E)]


def test_margins_reach_the_objectives_that_have_one() -> None:
    graph = random_graph()
    for objective, kind in (("triplet", Triplet), ("negative_sampling", NegativeSampling)):
        made = built(graph, objective=objective, margin=2.5).objective
        assert type(made) is kind and made.margin == 2.5 and made.temperature == 1.0
    assert built(graph, objective="softmax").negatives is None


def test_corrupted_sides_are_as_the_arguments_say() -> None:
    graph = random_graph()
    expected = head_probability(graph.train, R, "bernoulli")
    assert torch.equal(built(graph, corrupted_side="bernoulli").head_probability, expected)
    assert not torch.equal(expected, built(graph).head_probability)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"negatives": "in_batch"}, "negatives: graphs have no positives; use unigram, uniform or adversarial"),
        ({"negatives": "[uniform, hard]"}, "negatives: graphs have no hard"),
        ({"objective": "nce", "negatives": "cached"}, "objective: nce needs negatives drawn with a known probability"),
        ({"objective": "sampled_softmax", "negatives": "adversarial"}, "objective: sampled_softmax needs negatives"),
        ({"objective": "infonce", "margin": 1.0}, "margin: infonce has none; leave it at 0"),
        ({"objective": "softmax", "margin": 1.0}, "margin: softmax has none; leave it at 0"),
        ({"objective": "triplet", "margin": -1.0}, "margin: triplet needs one that is not negative, got -1.0"),
        ({"objective": "order"}, "unknown objective 'order'; choose one of softmax, infonce"),
        ({"temperature": 0.0}, "temperature: must be greater than 0, got 0.0"),
        ({"regularizer": "l1"}, "unknown regularizer 'l1'; choose one of l2, n3"),
        ({"regularizer_weight": 0.1}, "regularizer_weight: name the regularizer too, l2 or n3"),
        ({"regularizer": "n3", "regularizer_weight": -0.1}, "regularizer_weight: must not be negative, got -0.1"),
        ({"corrupted_side": "both"}, "unknown corrupted_side 'both'; choose one of uniform, bernoulli"),
        ({"interaction": "transh"}, "unknown interaction 'transh'; choose one of transe"),
        ({"interaction": "complex", "constrained": True}, "constrained: complex has no constraint on lengths"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        built(random_graph(), **given)


# --- state ---


def test_draws_follow_from_seed_and_step_and_differ_within_a_step() -> None:
    def made(seed: int) -> ContrastiveGraphModel:
        uniform = build_sampler({"name": "uniform", "k": 4})
        return make("infonce", uniform, seed=seed, head_probability=torch.full((R,), 0.5))

    assert_draws_follow_from_seed_and_step(made, step)


def test_only_tables_and_what_samplers_keep_is_in_a_checkpoint() -> None:
    tables = {"graph.entity_embeddings", "graph.relation_embeddings"}
    assert set(built(random_graph()).state_dict()) == tables
    learned = set(built(random_graph(), negatives="adversarial").state_dict()) - tables
    assert learned == {f"negatives.part.generator.{name}_projection" for name in ("anchor", "candidate")}


def test_caches_that_ranks_would_not_share_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"negatives": "[cached, uniform]"}
    assert built(random_graph(), **given).negatives is not None
    monkeypatch.setattr(table_sampler, "world_size", lambda: 2)
    with pytest.raises(RecipeError, match="cached keeps caches that ranks do not share for tables; start one process"):
        built(random_graph(), **given)
