"""Samplers of a step on a knowledge graph: what they are shown, whom they serve, what they leave out."""

import math

import pytest
import torch
from contexts import Told
from graph_loops import dense, triple_score
from graph_models import (
    QUERIES,
    B,
    asked,
    assert_loss_and_gradients,
    built,
    candidate_score,
    loop,
    make,
    random_graph,
    reciprocal_or_not,
    step,
    told_of,
)
from kg_formulas import D, E, R
from queries import (
    adversary,
    assert_shown_scores,
    each_proposed,
    self_adversarial_weights,
    told_one_row,
    watched,
    weigh_as_adversary,
)

from hf_contrastive.data import Triples
from hf_contrastive.negatives import AdversarialNegatives, CachedNegatives, Joined, SelfAdversarial
from hf_contrastive.training.graphs.build import head_probability


@reciprocal_or_not
@pytest.mark.parametrize("interaction", ["transe", "transd", "distmult", "complex", "rotate"])
def test_samplers_are_shown_the_models_own_scores(interaction: str, reciprocal: bool) -> None:
    told = told_of("shared")
    model = make("infonce", told, interaction, None, reciprocal)
    model.draws.step = 7
    step(model)
    assert_shown_scores(told, E, lambda query, entity: candidate_score(model, query, entity).item())
    for rows, context in zip(told.rows, told.contexts, strict=True):
        assert context.positive_ids.tolist() == [QUERIES[query][2] for query in rows]
        assert context.candidate_keys.tolist() == [*range(E)] and not context.candidates.parts[0].requires_grad
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
    weights = self_adversarial_weights(
        second, asked(reciprocal), 0.8, lambda query, row: candidate_score(model, query, row).item()
    )
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
    sampler = adversary(D, told)
    model = make("infonce", sampler, interaction, None, reciprocal)
    output = step(model)

    def cost(query: int, row: int) -> float:
        positive = candidate_score(model, query, QUERIES[query][2])
        return math.log1p(math.exp((candidate_score(model, query, row) - positive).item()))

    own = weigh_as_adversary(told, sampler, model.graph.entity_embeddings, cost)
    assert_loss_and_gradients(model, output, loop(model, "infonce", told), own)
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
    sampler = told_one_row(0)
    model = make("infonce", sampler, head_probability=chances)
    model(entities, relations, entities)
    keys = torch.cat([context.anchor_keys % (2 * R) for context in sampler.contexts])
    of_tail, of_head = (torch.bincount(keys, minlength=2 * R).view(2, R)).double()
    assert (of_tail + of_head).tolist() == [size / R] * R
    assert (of_head / (size / R) - chances).abs().max() < 0.04


# --- what is left out ---


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
    seen = watched(model.negatives)
    model(graph.train.heads, graph.train.relations, graph.train.tails)
    columns = (graph.train.heads.tolist(), graph.train.relations.tolist(), graph.train.tails.tolist())
    known, left_out, sides = set(zip(*columns, strict=True)), 0, set()
    for key, target, candidate, usable in each_proposed(seen):
        entity, relation = divmod(key, 2 * R)
        sides.add(relation >= R)
        made = (entity, relation, candidate) if relation < R else (candidate, relation - R, entity)
        is_true = filter_known and made in known
        assert usable == (not is_true and not (mask_positives and candidate == target))
        left_out += not usable and candidate != target
    assert sides == {True, False} and sum(len(context.anchors) for context, _ in seen) == 40 * (1 + reciprocal)
    assert (left_out > 20) == filter_known
