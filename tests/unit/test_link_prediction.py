import json
import math

import pytest
import torch

from hf_contrastive.data import KnowledgeGraph, Triples, relation_categories
from hf_contrastive.errors import CheckpointError, DataError
from hf_contrastive.evaluation import RankMetrics, evaluate_link_prediction
from hf_contrastive.evaluation.link_prediction import ranks
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel

E, R = 12, 4


def random_graph(seed: int = 0) -> KnowledgeGraph:
    """70 triples; entity 11 and relation 3 do not occur in train, test triples meet known ones on both sides."""
    torch.manual_seed(seed)
    some = Triples(torch.randint(E, (90,)), torch.randint(R, (90,)), torch.randint(E, (90,))).distinct()
    old = (some.heads < 11) & (some.tails < 11) & (some.relations < 3)
    train, rest = some[old][:40], Triples.join(some[old][40:], some[~old])
    names = [f"e{i}" for i in range(E)], [f"r{i}" for i in range(R)]
    return KnowledgeGraph(*names, train, rest[::2], rest[1::2])


def random_model(interaction: str, reciprocal: bool = False) -> KnowledgeGraphModel:
    """Small whole numbers, so that scores have ties and are exact whatever the order of their sums."""
    torch.manual_seed(0)
    model = KnowledgeGraphModel(KnowledgeGraphConfig(E, R, interaction, 4, reciprocal=reciprocal))
    with torch.no_grad():
        for table in model.parameters():
            table.copy_(torch.randint(-1, 2, table.shape).double())
    return model.double()


def listed(some: Triples) -> list[tuple[int, int, int]]:
    return list(zip(some.heads.tolist(), some.relations.tolist(), some.tails.tolist(), strict=True))


def reference_ranks(model: KnowledgeGraphModel, graph: KnowledgeGraph, split: str, filtered: bool, side: str) -> list:
    """The mean of the first and the last place among equals, by a loop over triples and candidates."""
    true = {triple for part in (graph.train, graph.valid, graph.test) for triple in listed(part)}
    out = []
    for h, r, t in listed(getattr(graph, split)):
        scores = []
        for entity in range(E):
            triple = (h, r, entity) if side == "tail" else (entity, r, t)
            if filtered and triple in true and triple != (h, r, t):
                continue
            if side == "head" and model.config.reciprocal:
                triple = (triple[2], r + R, triple[0])
            scores.append((model.score(*(torch.tensor([x]) for x in triple)).item(), entity))
        target = t if side == "tail" else h
        mine = next(score for score, entity in scores if entity == target)
        first = 1 + sum(score > mine for score, _ in scores)
        last = sum(score >= mine for score, _ in scores)
        out.append((first + last) / 2)
    return out


@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.parametrize("split, batch_size", [("test", 4), ("valid", 1000), ("train", 7)])
@pytest.mark.parametrize("interaction, reciprocal", [("distmult", False), ("complex", True), ("transe", False)])
def test_metrics_are_a_loops(interaction: str, reciprocal: bool, split: str, batch_size: int, filtered: bool) -> None:
    graph, model = random_graph(), random_model(interaction, reciprocal)
    expected = {side: reference_ranks(model, graph, split, filtered, side) for side in ("head", "tail")}
    assert any(rank % 1 for side in expected.values() for rank in side)  # ties
    part = getattr(graph, split)
    found = ranks(model, graph, part, batch_size, filtered)
    assert {"head": found[0].tolist(), "tail": found[1].tolist()} == expected

    result = evaluate_link_prediction(model, graph, split, batch_size, filtered, progress=False)
    assert (result.split, result.filtered) == (split, filtered)
    for side, numbers in (*expected.items(), ("both", expected["head"] + expected["tail"])):
        check(getattr(result, side), numbers)

    categories = relation_categories(graph.train)
    names = [categories.get(r, "new") for r in part.relations.tolist()]
    assert set(result.categories) == set(names) and (split == "train" or "new" in names)
    for name, metrics in result.categories.items():
        for side, numbers in expected.items():
            check(getattr(metrics, side), [n for n, own in zip(numbers, names, strict=True) if own == name])
        assert metrics.both.count == 2 * names.count(name)


def check(metrics: RankMetrics, numbers: list[float]) -> None:
    n = len(numbers)
    assert metrics.count == n
    assert metrics.mr == pytest.approx(sum(numbers) / n)
    assert metrics.mrr == pytest.approx(sum(1 / number for number in numbers) / n)
    hits = (metrics.hits_at_1, metrics.hits_at_3, metrics.hits_at_10)
    assert hits == pytest.approx(tuple(sum(number <= k for number in numbers) / n for k in (1, 3, 10)))


def test_filtering_and_ties_matter_on_these_graphs() -> None:
    graph, model = random_graph(), random_model("distmult")
    filtered, raw = (reference_ranks(model, graph, "test", flag, "tail") for flag in (True, False))
    assert sum(filtered) < sum(raw) and len(filtered) >= 10
    assert (graph.test.heads == 11).any() and not (graph.train.heads == 11).any()


def test_one_score_for_everything_earns_nothing() -> None:
    graph, model = random_graph(), random_model("distmult")
    with torch.no_grad():
        model.relation_embeddings.zero_()
    result = evaluate_link_prediction(model, graph, filtered=False, progress=False)
    assert result.both.mr == (E + 1) / 2 and result.both.hits_at_3 == 0


def test_the_mode_of_the_model_is_left_as_it_was() -> None:
    graph, model = random_graph(), random_model("distmult")
    for training in (True, False):
        evaluate_link_prediction(model.train(training), graph, progress=False)
        assert model.training == training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_results_can_be_written() -> None:
    result = evaluate_link_prediction(random_model("distmult"), random_graph(), progress=False)
    out = json.loads(json.dumps(result.to_dict()))
    assert out["both"]["mrr"] == result.both.mrr and out["tail"]["hits_at_10"] == result.tail.hits_at_10
    assert set(out) == {"head", "tail", "both", "categories", "split", "filtered"}


def test_says_what_is_wrong() -> None:
    graph, model = random_graph(), random_model("distmult")
    with pytest.raises(DataError, match="split: unknown split 'dev'; choose from train, valid, test"):
        evaluate_link_prediction(model, graph, "dev")
    empty = KnowledgeGraph(graph.entities, graph.relations, graph.train, graph.valid, graph.test[:0])
    with pytest.raises(DataError, match="test: the graph has no triples in this split"):
        evaluate_link_prediction(model, empty)
    other = KnowledgeGraph([*graph.entities, "x"], graph.relations, graph.train, graph.valid, graph.test)
    with pytest.raises(CheckpointError, match="has 12 entities and 4 relations, the graph 13 and 4"):
        evaluate_link_prediction(model, other)
    with torch.no_grad():
        model.entity_embeddings[3, 0] = math.nan
    with pytest.raises(ValueError, match="not finite: the model diverged"):
        evaluate_link_prediction(model, graph, progress=False)
