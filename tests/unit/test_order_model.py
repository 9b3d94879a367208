"""A step of order embeddings: loss and gradients by hand, what samplers are shown, what is left out, what is drawn."""

from functools import partial
from typing import Any

import pytest
import queries
import torch
from contexts import Told
from formulas import MARGIN
from graph_loops import Term, dense, lose, pair_violation
from queries import (
    ToldByAnchor,
    adversary,
    assert_draws_follow_from_seed_and_step,
    assert_initial_values_follow_from_the_seed,
    assert_shown_scores,
    each_proposed,
    proposed_to,
    self_adversarial_weights,
    told_at_random,
    told_one_row,
    watched,
    weigh_as_adversary,
)
from torch import Tensor

from hf_contrastive.arguments import GraphNegativesArguments, OrderModelArguments, OrderTrainingArguments
from hf_contrastive.data import Hierarchy
from hf_contrastive.errors import RecipeError
from hf_contrastive.models import OrderEmbeddingConfig, OrderEmbeddingModel
from hf_contrastive.negatives import Context, NegativeSampler, SelfAdversarial, build_sampler
from hf_contrastive.objectives import Objective, Order, Triplet
from hf_contrastive.training.model import ContrastiveOutput
from hf_contrastive.training.orders import ContrastiveOrderModel, contrastive_order_model

C, D = 9, 4
PAIRS = [(4, 1), (5, 1), (4, 0), (7, 2), (8, 2), (1, 0), (6, 3), (7, 0)]
B = len(PAIRS)
# What may be asked about: the ancestor of each pair, then the child of each, whose keys come behind.
QUERIES = [*PAIRS, *((ancestor + C, child) for child, ancestor in PAIRS)]
MADE: dict[str, Objective] = {"order": Order(1.0, MARGIN), "triplet": Triplet(1.0, MARGIN)}


def make(objective: str, sampler: NegativeSampler, **options: Any) -> ContrastiveOrderModel:
    """In float64."""
    torch.manual_seed(0)
    order = OrderEmbeddingModel(OrderEmbeddingConfig(C, D)).double()
    return ContrastiveOrderModel(order, MADE[objective], sampler, torch.arange(1, C + 1), **options).train()


def step(model: ContrastiveOrderModel) -> ContrastiveOutput:
    return model(*torch.tensor(PAIRS).unbind(1))


def places(context: Context) -> list[int]:
    """Of a context's anchors among the queries."""
    assert context.anchor_keys is not None
    return [
        QUERIES.index(query) for query in zip(context.anchor_keys.tolist(), context.positive_ids.tolist(), strict=True)
    ]


def score(model: ContrastiveOrderModel, query: int, concept: int) -> Tensor:
    """Of the query's pair with another concept in the open place."""
    child, ancestor = PAIRS[query % B]
    return -pair_violation(model.order, *((child, concept) if query < B else (concept, ancestor)))


def told_of(pool: str) -> ToldByAnchor:
    return told_at_random(places, 2 * B, C, pool)


def loop(model: ContrastiveOrderModel, objective: str, told: Told, asked: list[int]) -> Tensor:
    total = torch.zeros((), dtype=torch.double)
    for query in asked:
        columns = zip(*proposed_to(query, told), strict=True)
        terms: list[Term] = [(score(model, query, row), weight, 1.0) for row, there, weight in columns if there]
        total = total + lose(objective, score(model, query, QUERIES[query][1]), terms)
    return total


assert_loss_and_gradients = partial(queries.assert_loss_and_gradients, "pair", B)


@pytest.mark.parametrize("pool", ["shared", "own"])
@pytest.mark.parametrize("objective", ["order", "triplet"])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_are_those_of_a_loop(seed: int, objective: str, pool: str) -> None:
    told = told_of(pool)
    model = make(objective, told, seed=seed)
    output = step(model)
    asked = sum(told.rows, [])
    assert sorted(query % B for query in asked) == list(range(B))  # one side of each pair
    of_child = [query >= B for query in asked]
    assert of_child == sorted(of_child, reverse=True) and set(of_child) == {True, False}
    assert_loss_and_gradients(model, output, loop(model, objective, told, asked))


def test_what_is_above_the_margin_or_in_order_has_no_gradient() -> None:
    """Concept 0 at the origin is above everything; one far away violates by more than the margin."""
    model = make("order", told_one_row(3))
    with torch.no_grad():
        model.order.concept_embeddings[:4] = torch.tensor([[0.01], [0.5], [0.6], [9.0]]).expand(4, D)
    output = model(torch.tensor([1, 1, 1, 1, 1, 1]), torch.zeros(6, dtype=torch.long))
    output.loss.backward()
    (context,) = model.negatives.contexts
    asked = context.anchor_keys.tolist()
    assert set(asked) == {1, C}  # both sides: 9 is far above 0.5, but a child of 0.01 that is 9 is in order
    of_child = asked.count(C)
    # As a child the far one does not violate: it costs the margin, and moves nothing.
    assert output.loss.item() == pytest.approx(MARGIN * of_child) and dense(model.tables[0]).abs().max() == 0


def test_each_side_is_corrupted_half_of_the_time() -> None:
    told = told_one_row(0)
    model = make("order", told)
    model(torch.arange(4000) % C, torch.arange(4000) % C)
    (context,) = told.contexts
    assert len(context.anchor_keys) == 4000
    assert abs(int((context.anchor_keys >= C).sum()) - 2000) < 150


def test_samplers_are_shown_the_models_own_scores() -> None:
    told = told_of("shared")
    model = make("order", told)
    model.draws.step = 7
    step(model)
    assert_shown_scores(told, C, lambda query, concept: score(model, query, concept).item())
    for rows, context in zip(told.rows, told.contexts, strict=True):
        kept = torch.tensor([QUERIES[query][0] % C for query in rows])
        points = torch.nn.functional.normalize(model.order.points(), dim=1)
        torch.testing.assert_close(context.anchors, points[kept])
        torch.testing.assert_close(context.candidates[torch.arange(C)], points)


def test_self_adversarial_weights_are_of_minus_the_violation() -> None:
    told = told_of("own")
    told.weights = None
    model = make("order", SelfAdversarial(told, alpha=0.8))
    output = step(model)
    asked = sum(told.rows, [])
    told.weights = self_adversarial_weights(told, asked, 0.8, lambda query, row: score(model, query, row).item())
    assert_loss_and_gradients(model, output, loop(model, "order", told, asked))


def test_an_adversary_learns_from_what_each_negative_costs_and_leaves_the_table_alone() -> None:
    told = told_of("own")
    sampler = adversary(D, told)
    model = make("order", sampler)
    output = step(model)
    own = weigh_as_adversary(
        told, sampler, model.order.points(), lambda query, row: max(0.0, MARGIN + score(model, query, row).item())
    )
    assert_loss_and_gradients(model, output, loop(model, "order", told, sum(told.rows, [])), own)
    assert dense(sampler.generator.candidate_projection).norm() > 0


# --- built from arguments ---


def tree() -> Hierarchy:
    """A binary tree of 15 concepts, closed; four of its 34 pairs are held out."""
    pairs = [(child, (child + 1) // 2**up - 1) for child in range(15) for up in range(1, 5) if (child + 1) // 2**up]
    held_out, train = pairs[-4:], pairs[:-4]
    none = torch.zeros(2, dtype=torch.int8)
    return Hierarchy(
        names=[f"c{place}" for place in range(15)],
        pairs=torch.tensor(pairs),
        train=torch.tensor(train),
        dev=torch.tensor(held_out[:2]),
        test=torch.tensor(held_out[2:]),
        dev_negatives=torch.tensor([(0, 3), (0, 4)]),
        test_negatives=torch.tensor([(0, 3), (0, 4)]),
        dev_kinds=none,
        test_kinds=none,
        paths=None,
        protocol="filtered",
    )


def built(hierarchy: Hierarchy, **given: Any) -> ContrastiveOrderModel:
    """As a recipe would have it."""
    names = ("negatives", "corrupted_side", "filter_known", "mask_positives")
    negatives = {name: given.pop(name) for name in names if name in given}
    return contrastive_order_model(
        hierarchy,
        OrderModelArguments(given.pop("dimension", D)),
        GraphNegativesArguments(**{"negatives": "{name: uniform, k: 60}", **negatives}),
        OrderTrainingArguments("out", report_to="none", use_cpu=True, **given),
    )


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("filter_known", "mask_positives"), [(True, True), (False, True), (False, False)])
def test_no_usable_negative_is_true_in_training(filter_known: bool, mask_positives: bool, shared: bool) -> None:
    """On both sides; what is held out is used, or it would leak."""
    hierarchy = tree()
    config = f"{{name: uniform, k: 60, shared: {shared}}}"
    model = built(hierarchy, negatives=config, filter_known=filter_known, mask_positives=mask_positives)
    seen = watched(model.negatives)
    model(*hierarchy.train.unbind(1))
    known, sides, left_out = set(map(tuple, hierarchy.train.tolist())), set(), 0
    held_out = set(map(tuple, hierarchy.pairs.tolist())) - known
    used_of_held_out = 0
    for key, target, row, usable in each_proposed(seen):
        of_child, kept = divmod(key, 15)
        sides.add(of_child)
        pair = (row, kept) if of_child else (kept, row)
        assert usable == (not (filter_known and pair in known) and not (mask_positives and row == target))
        left_out += not usable and row != target
        used_of_held_out += usable and pair in held_out
    assert sides == {0, 1} and (left_out > 20) == filter_known and used_of_held_out > 0


def test_initial_values_and_counts() -> None:
    hierarchy = tree()
    assert_initial_values_follow_from_the_seed(lambda seed: built(hierarchy, seed=seed).order.concept_embeddings)
    ends = hierarchy.train.flatten().tolist()
    assert built(hierarchy).counts.tolist() == [ends.count(concept) for concept in range(15)]
    assert built(hierarchy, margin=2.5).objective.margin == 2.5
    assert isinstance(built(hierarchy, objective="triplet").objective, Triplet)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"negatives": "in_batch"}, "negatives: hierarchies have no positives; use unigram, uniform or adversarial"),
        (
            {"corrupted_side": "bernoulli"},
            "corrupted_side: pairs of a hierarchy have one relation; leave it at uniform",
        ),
        ({"objective": "infonce"}, "unknown objective 'infonce'; choose one of order, triplet"),
        ({"margin": -1.0}, "margin: must not be negative, got -1.0"),
        ({"dimension": 0}, "dimension: must be positive, got 0"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        built(tree(), **given)


# --- state ---


def test_draws_follow_from_seed_and_step_and_differ_within_a_step() -> None:
    config = {"name": "uniform", "k": 4}
    assert_draws_follow_from_seed_and_step(lambda seed: make("order", build_sampler(config), seed=seed), step)


def test_only_the_table_and_what_samplers_keep_is_in_a_checkpoint() -> None:
    assert set(built(tree()).state_dict()) == {"order.concept_embeddings"}
    learned = set(built(tree(), negatives="adversarial").state_dict()) - {"order.concept_embeddings"}
    assert learned == {f"negatives.part.generator.{name}_projection" for name in ("anchor", "candidate")}
