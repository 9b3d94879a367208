"""A step on a knowledge graph: loss and gradients by hand, what samplers are shown, what is left out and drawn."""

import math
from typing import Any

import pytest
import torch
from contexts import Told
from formulas import MARGIN
from graph_loops import (
    Term,
    ToldByAnchor,
    dense,
    gradients,
    lose,
    penalty,
    random_mask,
    random_weights,
    triple_score,
)
from torch import Tensor

from hf_contrastive.arguments import GraphModelArguments, GraphNegativesArguments, GraphTrainingArguments
from hf_contrastive.data import KnowledgeGraph, Triples
from hf_contrastive.errors import RecipeError
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel, knowledge_graph
from hf_contrastive.negatives import (
    AdversarialNegatives,
    CachedNegatives,
    Context,
    Joined,
    Negatives,
    NegativeSampler,
    SelfAdversarial,
    build_sampler,
)
from hf_contrastive.objectives import NCE, InfoNCE, NegativeSampling, Objective, SampledSoftmax, Triplet
from hf_contrastive.training import table_sampler
from hf_contrastive.training.graphs import ContrastiveGraphModel, contrastive_graph_model
from hf_contrastive.training.graphs.build import head_probability

E, R, D = 9, 3, 6
GAMMA, TEMPERATURE = 1.3, 0.5
HEADS, RELATIONS, TAILS = ([0, 3, 5, 2, 8, 5], [0, 1, 2, 1, 0, 2], [4, 0, 5, 7, 4, 1])
TRIPLES = list(zip(HEADS, RELATIONS, TAILS, strict=True))
B = len(TRIPLES)
# What may be asked about: the tail of each triple, then the head of each, as keys say it.
QUERIES = [*TRIPLES, *((t, r + R, h) for h, r, t in TRIPLES)]
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
MADE: dict[str, Objective | None] = {
    "infonce": InfoNCE(1.0),
    "negative_sampling": NegativeSampling(1.0, GAMMA),
    "triplet": Triplet(1.0, MARGIN),
    "softmax": None,
    "sampled_softmax": SampledSoftmax(1.0),
    "nce": NCE(1.0),
}

every_kind = pytest.mark.parametrize(("interaction", "norm"), KINDS)
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


def proposed_to(query: int, told: Told) -> tuple[list[int], list[bool], list[float]]:
    rows = (told.ids if told.ids.dim() == 1 else told.ids[query]).tolist()
    weights = [1.0] * len(rows) if told.weights is None else told.weights[query].tolist()
    return rows, told.mask[query].tolist(), weights


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
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randint(E, (5,) if pool == "shared" else (2 * B, 5), generator=generator)
    return ToldByAnchor(places, drawn, random_mask(2 * B, 5), random_weights(2 * B, 5), **fields)


def assert_loss_and_gradients(model: ContrastiveGraphModel, output: Any, expected: Tensor, own: float = 0.0) -> None:
    output.loss.backward()
    tolerance = 1e-10 if not own else 1e-6  # samplers that learn are in float32
    assert output.loss.item() == pytest.approx(expected.item() + own, rel=tolerance)
    assert output.metrics["loss_of_a_triple"].item() == pytest.approx(expected.item() / B, rel=tolerance)
    for table, gradient in zip(model.tables, gradients(expected, model.tables), strict=True):
        torch.testing.assert_close(dense(table), gradient, rtol=tolerance, atol=tolerance)


# --- loss and gradients ---


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


# --- what samplers are shown, and say ---


@reciprocal_or_not
@pytest.mark.parametrize("interaction", ["transe", "transd", "distmult", "complex", "rotate"])
def test_samplers_are_shown_the_models_own_scores(interaction: str, reciprocal: bool) -> None:
    told = told_of("shared")
    model = make("infonce", told, interaction, None, reciprocal)
    model.draws.step = 7
    step(model)
    each = torch.arange(2 * B * 3).view(2 * B, 3) % E
    for rows, context in zip(told.rows, told.contexts, strict=True):
        assert context.score is not None and context.step == 7 and context.regions == {"bank": range(E)}
        for given in (torch.tensor([0, 7, 7]), each[rows], told.ids):
            every = given.expand(len(rows), -1).tolist()
            expected = [
                [candidate_score(model, query, entity).item() for entity in own]
                for query, own in zip(rows, every, strict=True)
            ]
            found = context.score(given)
            assert not found.requires_grad
            torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.double), rtol=1e-9, atol=1e-10)
        assert context.positive_ids.tolist() == [QUERIES[query][2] for query in rows]
        assert torch.equal(context.counts, torch.arange(1.0, E + 1)) and context.candidate_keys.tolist() == [*range(E)]
        assert not context.anchors.requires_grad and not context.candidates.parts[0].requires_grad
        lengths = [context.anchors.norm(dim=1), context.candidates[torch.arange(E)].norm(dim=1)]
        assert all(torch.allclose(length, torch.ones_like(length)) for length in lengths)


@reciprocal_or_not
def test_anchors_point_where_the_score_grows(reciprocal: bool) -> None:
    """Of bilinear models the inner product of an anchor and a candidate is the score, but for their lengths."""
    told = told_of("shared")
    model = make("infonce", told, "complex", None, reciprocal)
    step(model)
    for context in told.contexts:
        products = context.anchors @ model.graph.entity_embeddings.detach().T
        scores = context.score(torch.arange(E))
        torch.testing.assert_close(products / products[:, :1], scores / scores[:, :1])


@reciprocal_or_not
def test_self_adversarial_weights_are_of_the_models_scores_which_are_not_computed_twice(reciprocal: bool) -> None:
    first, second = told_of("shared"), told_of("own")
    second.weights = None
    model = make("negative_sampling", Joined([first, SelfAdversarial(second, alpha=0.8)]), "rotate", 1, reciprocal)
    asked_again = []
    model._detached = lambda *given: asked_again.append(given)  # type: ignore[method-assign]
    output = step(model)
    assert not asked_again
    weights = torch.zeros(2 * B, 5, dtype=torch.double)
    for query in asked(reciprocal):
        rows, mask, _ = proposed_to(query, second)
        scores = [candidate_score(model, query, row).item() for row in rows]
        powers = [math.exp(0.8 * score) * there for score, there in zip(scores, mask, strict=True)]
        weights[query] = torch.tensor([sum(mask) * power / sum(powers) for power in powers], dtype=torch.double)
    joined = Told(
        torch.cat([first.ids.expand(2 * B, -1), second.ids], 1),
        torch.cat([first.mask, second.mask], 1),
        torch.cat([first.weights, weights], 1),
    )
    assert_loss_and_gradients(model, output, loop(model, "negative_sampling", joined))


def test_caches_keep_what_scores_highest() -> None:
    """Far away is far away: an entity that is thirty times as long may well be the nearest by cosine."""
    sampler = CachedNegatives(k=2, cache_size=3, candidates=200, temperature=1e-3)
    model = make("infonce", sampler, "transe", 1, reciprocal=True)
    with torch.no_grad():
        model.graph.entity_embeddings[0] *= 30
    step(model)
    last = {(known, relation): target for known, relation, target in QUERIES}  # of those with one key
    assert len(last) < len(QUERIES)
    for (known, relation), target in last.items():
        kept = sampler.cache[known * 2 * R + relation].tolist()
        scores = {entity: triple_score(model.graph, known, relation, entity).item() for entity in range(E)}
        others = sorted((scores[entity] for entity in range(E) if entity != target), reverse=True)
        assert sorted((scores[entity] for entity in kept), reverse=True) == pytest.approx(others[:3])


@pytest.mark.parametrize("interaction", ["transe", "complex"])
@reciprocal_or_not
def test_an_adversary_learns_from_what_each_negative_costs_and_leaves_the_tables_alone(
    interaction: str, reciprocal: bool
) -> None:
    told = told_of("own")
    sampler = AdversarialNegatives(D, k=3, part=told, noise=0.25, entropy_weight=0.0, temperature=0.5)
    torch.nn.init.normal_(sampler.generator.candidate_projection, generator=torch.Generator().manual_seed(6))
    model = make("infonce", sampler, interaction, None, reciprocal)
    output = step(model)
    left, right = (p.detach().double() for p in sampler.generator.parameters())
    weights, own = torch.zeros(2 * B, 5, dtype=torch.double), []
    for queries, context in zip(told.rows, told.contexts, strict=True):
        expected = 0.0
        for query, anchor in zip(queries, context.anchors, strict=True):
            rows, mask, _ = proposed_to(query, told)
            units = [row / row.norm() for row in model.graph.entity_embeddings.detach()[rows]]
            energies = [math.exp(float((left @ anchor) @ (right @ u) + anchor @ u) / 0.5) for u in units]
            g = [energy / sum(energies) for energy in energies]
            weights[query] = torch.tensor([3 * (0.75 * p + 0.25 / 5) for p in g])  # as precise as g itself
            positive = candidate_score(model, query, QUERIES[query][2]).item()
            costs = [math.log1p(math.exp(candidate_score(model, query, row).item() - positive)) for row in rows]
            expected += sum(p * (cost if there else -1) for p, cost, there in zip(g, costs, mask, strict=True))
        own.append(-expected / len(queries))
    told.weights = weights
    assert_loss_and_gradients(model, output, loop(model, "infonce", told), sum(own))
    assert dense(sampler.generator.candidate_projection).norm() > 0


def test_an_adversary_that_is_not_due_has_a_gradient_of_zero() -> None:
    sampler = AdversarialNegatives(D, k=3, update_every=2)
    model = make("infonce", sampler)
    norms = []
    for number in (0, 1, 2):
        model.draws.step = number
        model.zero_grad()
        step(model).loss.backward()
        norms.append(dense(sampler.generator.candidate_projection).norm().item())
    assert norms[0] > 0 and norms[1] == 0 and norms[2] > 0


# --- which side ---


def test_head_probability_is_that_of_wang_et_al() -> None:
    """tph / (tph + hpt); relation 3 is not in training."""
    some = [(0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4)]  # one head with 4 tails: 4 and 1
    some += [(5, 1, 0), (6, 1, 0), (7, 1, 0)]  # 1 and 3
    some += [(1, 2, 2), (1, 2, 3), (4, 2, 2), (5, 2, 5), (6, 2, 6)]  # 5 triples of 4 heads and 4 tails
    some += [(1, 4, 2), (1, 4, 3), (1, 4, 4), (2, 4, 2)]  # 4 triples of 2 heads and 3 tails: 2 and 4/3
    train = Triples(*torch.tensor(some).unbind(1))
    found = head_probability(train, 5, "bernoulli")
    assert found[[0, 1, 2, 4]].tolist() == pytest.approx([0.8, 0.25, 0.5, 0.6])
    assert 0 <= found[3] <= 1
    assert head_probability(train, 5, "uniform").tolist() == [0.5] * 5


def test_one_side_of_each_triple_is_corrupted_as_often_as_its_relation_says() -> None:
    size = 6000
    chances = torch.tensor([0.1, 0.5, 0.9])
    relations = torch.arange(size) % R
    entities = torch.arange(size) % E
    told = Told(torch.tensor([0]), torch.ones(1, 1, dtype=torch.bool))
    sampler = ToldByAnchor(lambda context: [0] * len(context.anchors), told.ids, told.mask)
    model = make("infonce", sampler, head_probability=chances)
    model(entities, relations, entities)
    keys = torch.cat([context.anchor_keys % (2 * R) for context in sampler.contexts])
    of_tail, of_head = (torch.bincount(keys, minlength=2 * R).view(2, R)).double()
    assert (of_tail + of_head).tolist() == [size / R] * R
    assert (of_head / (size / R) - chances).abs().max() < 0.04


# --- what is left out ---


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


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("filter_known", "mask_positives"), [(True, True), (False, True), (False, False)])
@reciprocal_or_not
def test_no_usable_negative_is_true_in_training(
    reciprocal: bool, filter_known: bool, mask_positives: bool, shared: bool
) -> None:
    """On both sides; what only valid and test know to be true is used, or they would leak."""
    graph = random_graph()
    config = f"{{name: uniform, k: 40, shared: {shared}}}"
    model = built(
        graph, reciprocal=reciprocal, negatives=config, filter_known=filter_known, mask_positives=mask_positives
    )
    seen: list[tuple[Context, Negatives]] = []
    assert model.negatives is not None
    sample = model.negatives.sample
    model.negatives.sample = lambda context, k=None: seen.append((context, sample(context, k))) or seen[-1][1]  # type: ignore[method-assign]
    model(graph.train.heads, graph.train.relations, graph.train.tails)
    columns = (graph.train.heads.tolist(), graph.train.relations.tolist(), graph.train.tails.tolist())
    known, left_out, sides = set(zip(*columns, strict=True)), 0, set()
    for context, proposed in seen:
        rows = proposed.ids.expand(proposed.mask.shape).tolist()
        for key, target, own, mask in zip(
            context.anchor_keys.tolist(), context.positive_ids.tolist(), rows, proposed.mask.tolist(), strict=True
        ):
            entity, relation = divmod(key, 2 * R)
            sides.add(relation >= R)
            for candidate, usable in zip(own, mask, strict=True):
                made = (entity, relation, candidate) if relation < R else (candidate, relation - R, entity)
                is_true = filter_known and made in known
                assert usable == (not is_true and not (mask_positives and candidate == target))
                left_out += not usable and candidate != target
    assert sides == {True, False} and sum(len(context.anchors) for context, _ in seen) == 40 * (1 + reciprocal)
    assert (left_out > 20) == filter_known


# --- built from arguments ---


def test_initial_values_follow_from_the_seed_alone() -> None:
    graph, tables = random_graph(), []
    for seed in (3, 3, 4):
        before = torch.random.get_rng_state()
        tables.append(built(graph, seed=seed).graph.entity_embeddings)
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(99)
    assert torch.equal(tables[0], tables[1]) and not torch.equal(tables[0], tables[2])


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
    def losses(seed: int, steps: list[int], measured: bool = False) -> list[float]:
        torch.manual_seed(len(steps))  # the global generator has no say
        model = make(
            "infonce", build_sampler({"name": "uniform", "k": 4}), seed=seed, head_probability=torch.full((R,), 0.5)
        )
        found = []
        for number in steps:
            model.draws.step = number
            found.append(step(model).loss.item())
            if measured:
                step(model.eval())
                model.train()
        return found

    first = losses(0, [4, 4, 5])
    assert len({*first, *losses(1, [4, 4, 5])}) == 6
    assert losses(0, [3, 3, 4, 4, 5])[2:] == first == losses(0, [4, 4, 5], measured=True)


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
