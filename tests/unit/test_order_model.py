"""A step of order embeddings: loss and gradients by hand, what samplers are shown, what is left out, what is drawn."""

import math
from typing import Any

import pytest
import torch
from contexts import Told
from formulas import MARGIN
from graph_loops import Term, ToldByAnchor, dense, gradients, lose, pair_violation, random_mask, random_weights
from torch import Tensor

from hf_contrastive.arguments import GraphNegativesArguments, OrderModelArguments, OrderTrainingArguments
from hf_contrastive.data import Hierarchy
from hf_contrastive.errors import RecipeError
from hf_contrastive.models import OrderEmbeddingConfig, OrderEmbeddingModel
from hf_contrastive.negatives import (
    AdversarialNegatives,
    Context,
    Negatives,
    NegativeSampler,
    SelfAdversarial,
    build_sampler,
)
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
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randint(C, (5,) if pool == "shared" else (2 * B, 5), generator=generator)
    return ToldByAnchor(places, drawn, random_mask(2 * B, 5), random_weights(2 * B, 5))


def loop(model: ContrastiveOrderModel, objective: str, told: Told, asked: list[int]) -> Tensor:
    total = torch.zeros((), dtype=torch.double)
    for query in asked:
        rows = (told.ids if told.ids.dim() == 1 else told.ids[query]).tolist()
        assert told.weights is not None
        columns = zip(rows, told.mask[query].tolist(), told.weights[query].tolist(), strict=True)
        terms: list[Term] = [(score(model, query, row), weight, 1.0) for row, there, weight in columns if there]
        total = total + lose(objective, score(model, query, QUERIES[query][1]), terms)
    return total


def assert_loss_and_gradients(
    model: ContrastiveOrderModel, output: ContrastiveOutput, expected: Tensor, own: float = 0.0
) -> None:
    output.loss.backward()
    tolerance = 1e-10 if not own else 1e-6  # samplers that learn are in float32
    assert output.loss.item() == pytest.approx(expected.item() + own, rel=tolerance)
    assert output.metrics["loss_of_a_pair"].item() == pytest.approx(expected.item() / B, rel=tolerance)
    (table,) = model.tables
    torch.testing.assert_close(dense(table), gradients(expected, [table])[0], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("pool", ["shared", "own"])
@pytest.mark.parametrize("objective", ["order", "triplet"])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradients_are_those_of_a_loop(seed: int, objective: str, pool: str) -> None:
    told = told_of(pool)
    model = make(objective, told, seed=seed)
    output = step(model)
    asked = sum(told.rows, [])
    assert sorted(query % B for query in asked) == list(range(B))  # one side of each pair
    assert [query >= B for query in asked] == [True] * len(told.rows[0]) + [False] * len(told.rows[1])
    assert_loss_and_gradients(model, output, loop(model, objective, told, asked))


def test_what_is_above_the_margin_or_in_order_has_no_gradient() -> None:
    """Concept 0 at the origin is above everything; one far away violates by more than the margin."""
    ids = torch.tensor([3])
    model = make("order", ToldByAnchor(lambda context: [0] * len(context.anchors), ids, torch.ones(1, 1).bool()))
    with torch.no_grad():
        model.order.concept_embeddings[:4] = torch.tensor([[0.01], [0.5], [0.6], [9.0]]).expand(4, D)
    output = model(torch.tensor([1, 1, 1, 1, 1, 1]), torch.zeros(6, dtype=torch.long))
    output.loss.backward()
    asked = {context.anchor_keys[0].item() for context in model.negatives.contexts}
    assert asked == {1, C}  # both sides: 9 is far above 0.5, but a child of 0.01 that is 9 is in order
    of_child = len(model.negatives.rows[0])
    # As a child the far one does not violate: it costs the margin, and moves nothing.
    assert output.loss.item() == pytest.approx(MARGIN * of_child) and dense(model.tables[0]).abs().max() == 0


def test_each_side_is_corrupted_half_of_the_time() -> None:
    told = ToldByAnchor(lambda context: [0] * len(context.anchors), torch.tensor([0]), torch.ones(1, 1).bool())
    model = make("order", told)
    model(torch.arange(4000) % C, torch.arange(4000) % C)
    of_child, of_ancestor = map(len, told.rows)
    assert of_child + of_ancestor == 4000 and abs(of_child - 2000) < 150


def test_samplers_are_shown_the_models_own_scores() -> None:
    told = told_of("shared")
    model = make("order", told)
    model.draws.step = 7
    step(model)
    each = torch.arange(2 * B * 3).view(2 * B, 3) % C
    for rows, context in zip(told.rows, told.contexts, strict=True):
        assert context.score is not None and context.step == 7 and context.regions == {"bank": range(C)}
        for given in (torch.tensor([0, 7, 7]), each[rows], told.ids):
            every = given.expand(len(rows), -1).tolist()
            expected = [
                [score(model, q, concept).item() for concept in own] for q, own in zip(rows, every, strict=True)
            ]
            found = context.score(given)
            assert not found.requires_grad
            torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.double), rtol=1e-9, atol=1e-10)
        kept = torch.tensor([QUERIES[query][0] % C for query in rows])
        points = torch.nn.functional.normalize(model.order.points(), dim=1)
        torch.testing.assert_close(context.anchors, points[kept])
        torch.testing.assert_close(context.candidates[torch.arange(C)], points)
        assert torch.equal(context.counts, torch.arange(1.0, C + 1)) and not context.anchors.requires_grad


def test_self_adversarial_weights_are_of_minus_the_violation() -> None:
    told = told_of("own")
    told.weights = None
    model = make("order", SelfAdversarial(told, alpha=0.8))
    output = step(model)
    weights, asked = torch.zeros(2 * B, 5, dtype=torch.double), sum(told.rows, [])
    for query in asked:
        scores = [score(model, query, row).item() for row in told.ids[query].tolist()]
        mask = told.mask[query].tolist()
        powers = [math.exp(0.8 * s) * there for s, there in zip(scores, mask, strict=True)]
        weights[query] = torch.tensor([sum(mask) * power / sum(powers) for power in powers], dtype=torch.double)
    told.weights = weights
    assert_loss_and_gradients(model, output, loop(model, "order", told, asked))


def test_an_adversary_learns_from_what_each_negative_costs_and_leaves_the_table_alone() -> None:
    told = told_of("own")
    sampler = AdversarialNegatives(D, k=3, part=told, noise=0.25, entropy_weight=0.0, temperature=0.5)
    torch.nn.init.normal_(sampler.generator.candidate_projection, generator=torch.Generator().manual_seed(6))
    model = make("order", sampler)
    output = step(model)
    left, right = (p.detach().double() for p in sampler.generator.parameters())
    weights, own = torch.zeros(2 * B, 5, dtype=torch.double), 0.0
    for queries, context in zip(told.rows, told.contexts, strict=True):
        for query, anchor in zip(queries, context.anchors, strict=True):
            rows = told.ids[query].tolist()
            units = [row / row.norm() for row in model.order.points()[rows]]
            energies = [math.exp(float((left @ anchor) @ (right @ u) + anchor @ u) / 0.5) for u in units]
            g = [energy / sum(energies) for energy in energies]
            weights[query] = torch.tensor([3 * (0.75 * p + 0.25 / 5) for p in g])
            costs = [max(0.0, MARGIN + score(model, query, row).item()) for row in rows]
            rewards = [cost if there else -1 for cost, there in zip(costs, told.mask[query].tolist(), strict=True)]
            own -= sum(p * reward for p, reward in zip(g, rewards, strict=True)) / len(queries)
    told.weights = weights
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
    seen: list[tuple[Context, Negatives]] = []
    sample = model.negatives.sample
    model.negatives.sample = lambda context, k=None: seen.append((context, sample(context, k))) or seen[-1][1]  # type: ignore[method-assign]
    model(*hierarchy.train.unbind(1))
    known, sides, left_out = set(map(tuple, hierarchy.train.tolist())), set(), 0
    held_out = set(map(tuple, hierarchy.pairs.tolist())) - known
    used_of_held_out = 0
    for context, proposed in seen:
        columns = (context.anchor_keys, context.positive_ids, proposed.ids.expand(proposed.mask.shape), proposed.mask)
        for key, target, rows, mask in zip(*(column.tolist() for column in columns), strict=True):
            of_child, kept = divmod(key, 15)
            sides.add(of_child)
            for row, usable in zip(rows, mask, strict=True):
                pair = (row, kept) if of_child else (kept, row)
                assert usable == (not (filter_known and pair in known) and not (mask_positives and row == target))
                left_out += not usable and row != target
                used_of_held_out += usable and pair in held_out
    assert sides == {0, 1} and (left_out > 20) == filter_known and used_of_held_out > 0


def test_initial_values_and_counts() -> None:
    hierarchy, tables = tree(), []
    for seed in (3, 3, 4):
        before = torch.random.get_rng_state()
        model = built(hierarchy, seed=seed)
        tables.append(model.order.concept_embeddings)
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(99)
    assert torch.equal(tables[0], tables[1]) and not torch.equal(tables[0], tables[2])
    ends = hierarchy.train.flatten().tolist()
    assert model.counts.tolist() == [ends.count(concept) for concept in range(15)]
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
    def losses(seed: int, steps: list[int], measured: bool = False) -> list[float]:
        torch.manual_seed(len(steps))  # the global generator has no say
        model = make("order", build_sampler({"name": "uniform", "k": 4}), seed=seed)
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


def test_only_the_table_and_what_samplers_keep_is_in_a_checkpoint() -> None:
    assert set(built(tree()).state_dict()) == {"order.concept_embeddings"}
    learned = set(built(tree(), negatives="adversarial").state_dict()) - {"order.concept_embeddings"}
    assert learned == {f"negatives.part.generator.{name}_projection" for name in ("anchor", "candidate")}
