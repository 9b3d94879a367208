"""A small model of a knowledge graph in float64, six triples for a step of it, and what the step should lose."""

import math
from functools import partial
from typing import Any

import pytest
import queries
import torch
from contexts import Told
from formulas import MARGIN
from graph_loops import Term, lose, penalty, triple_score
from kg_formulas import D, E, R
from queries import ToldByAnchor, proposed_to, told_at_random
from torch import Tensor

from hf_contrastive.arguments import GraphModelArguments, GraphNegativesArguments, GraphTrainingArguments
from hf_contrastive.data import KnowledgeGraph, Triples
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel
from hf_contrastive.negatives import Context, NegativeSampler
from hf_contrastive.objectives import NCE, InfoNCE, NegativeSampling, Objective, SampledSoftmax, Triplet
from hf_contrastive.training.graphs import ContrastiveGraphModel, contrastive_graph_model

GAMMA, TEMPERATURE = 1.3, 0.5
HEADS, RELATIONS, TAILS = ([0, 3, 5, 2, 8, 5], [0, 1, 2, 1, 0, 2], [4, 0, 5, 7, 4, 1])
TRIPLES = list(zip(HEADS, RELATIONS, TAILS, strict=True))
B = len(TRIPLES)
# What may be asked about: the tail of each triple, then the head of each, as keys say it.
QUERIES = [*TRIPLES, *((t, r + R, h) for h, r, t in TRIPLES)]
MADE: dict[str, Objective | None] = {
    "infonce": InfoNCE(1.0),
    "negative_sampling": NegativeSampling(1.0, GAMMA),
    "triplet": Triplet(1.0, MARGIN),
    "softmax": None,
    "sampled_softmax": SampledSoftmax(1.0),
    "nce": NCE(1.0),
}

reciprocal_or_not = pytest.mark.parametrize("reciprocal", [True, False], ids=["reciprocal", "plain"])


def make(
    objective: str,
    sampler: NegativeSampler | None = None,
    interaction: str = "distmult",
    norm: int | None = None,
    reciprocal: bool = False,
    **options: Any,
) -> ContrastiveGraphModel:
    """In float64; where one side is corrupted, it is the head of relation 1 and the tail of the others."""
    torch.manual_seed(0)
    config = KnowledgeGraphConfig(E, R, interaction, D, norm, reciprocal=reciprocal, initial_range=0.7)
    given = {"temperature": TEMPERATURE, "head_probability": torch.tensor([0.0, 1.0, 0.0]), **options}
    graph = KnowledgeGraphModel(config).double()
    counts = torch.arange(1, E + 1)
    return ContrastiveGraphModel(graph, MADE[objective], sampler, counts, **given).train()


def step(model: ContrastiveGraphModel) -> Any:
    return model(*(torch.tensor(column) for column in (HEADS, RELATIONS, TAILS)))


def places(context: Context) -> list[int]:
    """Of a context's anchors among the queries."""
    assert context.anchor_keys is not None
    keys, positives = context.anchor_keys.tolist(), context.positive_ids.tolist()
    asked = [(*divmod(key, 2 * R), positive) for key, positive in zip(keys, positives, strict=True)]
    return [QUERIES.index(query) for query in asked]


def asked(reciprocal: bool) -> list[int]:
    return list(range(2 * B)) if reciprocal else [i + B * (RELATIONS[i] == 1) for i in range(B)]


def candidate_score(model: ContrastiveGraphModel, query: int, entity: int) -> Tensor:
    """Of the query's triple with another entity in the open place."""
    known, relation, _ = QUERIES[query]
    if model.config.reciprocal or query < B:
        return triple_score(model.graph, known, relation, entity) / model.temperature
    return triple_score(model.graph, entity, relation - R, known) / model.temperature


def loop(model: ContrastiveGraphModel, objective: str, told: Told | None) -> Tensor:
    """Query by query; with `told` None each is contrasted with every other entity."""
    total = torch.zeros((), dtype=torch.double)
    shift = GAMMA if objective == "negative_sampling" else 0.0
    for query in asked(model.config.reciprocal):
        known, relation, target = QUERIES[query]
        if told is None:
            rows = [entity for entity in range(E) if entity != target]
            mask, weights = [True] * len(rows), [1.0] * len(rows)
        else:
            rows, mask, weights = proposed_to(query, told)
        counts, own = [1.0] * len(rows), 1.0
        if told is not None and told.gives_log_q:
            counts = [len(rows) * math.exp(q) for q in told.fields["log_q"][query].tolist()]
            own = len(rows) * math.exp(told.fields["positive_log_q"][query])
        terms: list[Term] = [
            (candidate_score(model, query, entity) + shift, weight, count)
            for entity, there, weight, count in zip(rows, mask, weights, counts, strict=True)
            if there
        ]
        kind = "infonce" if objective == "softmax" else objective
        total = total + lose(kind, candidate_score(model, query, target) + shift, terms, own)
        if model.regularizer is not None:
            h, r, t = (known, relation, target) if model.config.reciprocal else TRIPLES[query % B]
            total = total + model.regularizer_weight * penalty(model.graph, model.regularizer, h, r, t)
    return total


def told_of(pool: str, **fields: Tensor) -> ToldByAnchor:
    return told_at_random(places, 2 * B, E, pool, **fields)


assert_loss_and_gradients = partial(queries.assert_loss_and_gradients, "triple", B)


def random_graph() -> KnowledgeGraph:
    torch.manual_seed(1)
    some = Triples(torch.randint(E, (90,)), torch.randint(R, (90,)), torch.randint(E, (90,))).distinct()
    return KnowledgeGraph([f"e{i}" for i in range(E)], [f"r{i}" for i in range(R)], some[:40], some[40:55], some[55:])


def built(graph: KnowledgeGraph, **given: Any) -> ContrastiveGraphModel:
    """As a recipe would have it."""
    model = {name: given.pop(name) for name in ("interaction", "reciprocal", "constrained") if name in given}
    names = ("negatives", "corrupted_side", "filter_known", "mask_positives")
    negatives = {name: given.pop(name) for name in names if name in given}
    return contrastive_graph_model(
        graph,
        GraphModelArguments(**{"interaction": "distmult", "dimension": D, **model}),
        GraphNegativesArguments(**{"negatives": "{name: uniform, k: 40}", **negatives}),
        GraphTrainingArguments("out", report_to="none", use_cpu=True, **given),
    )
