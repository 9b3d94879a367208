"""Scores and ranks of knowledge graph embeddings beside PyKEEN's, from the same weights."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hf_contrastive.data import KnowledgeGraph, Triples, load_knowledge_graph
from hf_contrastive.evaluation import evaluate_link_prediction
from hf_contrastive.evaluation.link_prediction import ranks
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel

pytest.importorskip("pykeen")

from pykeen.evaluation import RankBasedEvaluator  # noqa: E402
from pykeen.models import ComplEx, DistMult, RotatE, TransD, TransE  # noqa: E402
from pykeen.triples import CoreTriplesFactory  # noqa: E402

ENTITIES, RELATIONS, DIMENSION = 23, 4, 10
MODELS: list[tuple[str, int | None, Any, dict]] = [
    ("transe", 1, TransE, {"scoring_fct_norm": 1}),
    ("transe", 2, TransE, {"scoring_fct_norm": 2}),
    ("transd", 2, TransD, {}),
    ("transd", 1, TransD, {"interaction_kwargs": {"p": 1}}),
    ("distmult", None, DistMult, {}),
    ("complex", None, ComplEx, {}),
    ("rotate", 2, RotatE, {}),
]


def mapped(triples: Triples) -> torch.Tensor:
    return torch.stack([triples.heads, triples.relations, triples.tails], 1)


def random_graph(seed: int = 0) -> KnowledgeGraph:
    """90 triples, cut into splits; some entities do not occur in train."""
    torch.manual_seed(seed)
    n = 90
    triples = Triples(
        torch.randint(ENTITIES, (n,)), torch.randint(RELATIONS, (n,)), torch.randint(ENTITIES, (n,))
    ).distinct()
    entities, relations = [f"e{i}" for i in range(ENTITIES)], [f"r{i}" for i in range(RELATIONS)]
    return KnowledgeGraph(entities, relations, triples[20:], triples[:10], triples[10:20])


def ours(interaction: str, norm: int | None, entities: int = ENTITIES, relations: int = RELATIONS) -> Any:
    torch.manual_seed(1)
    config = KnowledgeGraphConfig(entities, relations, interaction, DIMENSION, norm, initial_range=0.6)
    return KnowledgeGraphModel(config).eval()


def theirs(model: KnowledgeGraphModel, kind: Any, options: dict) -> Any:
    """PyKEEN's model with the weights of ours."""
    config = model.config
    factory = CoreTriplesFactory(np.zeros((1, 3), dtype=np.int64), config.num_entities, config.num_relations)
    twin = kind(triples_factory=factory, embedding_dim=DIMENSION // 2 if is_complex(model) else DIMENSION, **options)
    relations = model.relation_embeddings.detach()
    if config.interaction == "rotate":
        relations = torch.cat([relations.cos(), relations.sin()], 1)
    tables = [(twin.entity_representations, model.entity_embeddings), (twin.relation_representations, relations)]
    for (first, *more), table in tables:
        fill(first, table, is_complex(model))
        for representation in more:
            entity = table is model.entity_embeddings
            fill(representation, model.entity_projections if entity else model.relation_projections, False)
    return twin.eval()


def is_complex(model: KnowledgeGraphModel) -> bool:
    return model.config.interaction in ("complex", "rotate")


def fill(representation: Any, table: torch.Tensor, complex_numbers: bool) -> None:
    weight = representation._embeddings.weight
    if complex_numbers:  # theirs have real and imaginary parts in turns
        table = torch.stack(table.chunk(2, 1), 2)
    with torch.no_grad():
        weight.copy_(table.detach().reshape(weight.shape))


@pytest.mark.parametrize("interaction, norm, kind, options", MODELS)
def test_scores_are_pykeens(interaction: str, norm: int | None, kind: Any, options: dict) -> None:
    model = ours(interaction, norm)
    twin = theirs(model, kind, options)
    triples = mapped(random_graph().known)
    heads, relations, tails = triples.T
    with torch.no_grad():
        torch.testing.assert_close(
            model.score(heads, relations, tails), twin.score_hrt(triples)[:, 0], rtol=0, atol=1e-5
        )
        expected = twin.score_t(triples[:, :2])
        torch.testing.assert_close(model.score_tails(heads, relations), expected, rtol=0, atol=1e-5)
        assert expected.std() > 0.05
        expected = twin.score_h(triples[:, 1:])
        torch.testing.assert_close(model.score_heads(relations, tails), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("interaction, norm, kind, options", MODELS)
def test_metrics_are_pykeens(interaction: str, norm: int | None, kind: Any, options: dict) -> None:
    graph, model = random_graph(), ours(interaction, norm)
    with torch.no_grad():
        model.entity_embeddings[5:12] = model.entity_embeddings[5]  # ties
        if interaction == "transd":
            model.entity_projections[5:12] = model.entity_projections[5]
        for table in model.parameters():  # sums that are exact whatever their order, so that ties are ties
            table.copy_((table * 8).round() / 8)
    twin = theirs(model, kind, options)
    evaluator = RankBasedEvaluator(filtered=True, clear_on_finalize=False)
    others = [mapped(graph.train), mapped(graph.valid)]
    expected = evaluator.evaluate(twin, mapped(graph.test), 4, additional_filter_triples=others, use_tqdm=False)
    found = evaluate_link_prediction(scored_by(twin, model), graph, batch_size=4, progress=False)
    check(found, expected)
    heads, tails = ranks(scored_by(twin, model), graph, graph.test, 4)
    assert heads.tolist() == np.concatenate(evaluator.ranks["head", "realistic"]).tolist()
    assert tails.tolist() == np.concatenate(evaluator.ranks["tail", "realistic"]).tolist()
    if interaction in ("distmult", "complex"):  # exact in floats, so our own scores rank alike
        own = ranks(model, graph, graph.test, 4)
        assert [side.tolist() for side in own] == [heads.tolist(), tails.tolist()]
        assert any(rank % 1 for rank in (heads + tails).tolist() + heads.tolist())


def scored_by(twin: Any, model: KnowledgeGraphModel) -> Any:
    """What `ranks` asks of a model, with PyKEEN's own scores."""

    def score_tails(heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        return twin.score_t(torch.stack([heads, relations], 1)).clone()

    def score_heads(relations: torch.Tensor, tails: torch.Tensor) -> torch.Tensor:
        return twin.score_h(torch.stack([relations, tails], 1)).clone()

    return SimpleNamespace(
        config=model.config,
        device=model.device,
        training=False,
        eval=lambda: None,
        train=lambda _: None,
        score_tails=score_tails,
        score_heads=score_heads,
    )


def check(found: Any, expected: Any) -> None:
    for side in ("head", "tail", "both"):
        metrics = getattr(found, side)
        for ours_, theirs_ in (
            (metrics.mr, "arithmetic_mean_rank"),
            (metrics.mrr, "inverse_harmonic_mean_rank"),
            (metrics.hits_at_1, "hits_at_1"),
            (metrics.hits_at_3, "hits_at_3"),
            (metrics.hits_at_10, "hits_at_10"),
        ):
            assert ours_ == pytest.approx(
                expected.get_metric(f"{side}.realistic.{theirs_}"), rel=1e-6
            )  # theirs are means in float32


@pytest.mark.shared
@pytest.mark.slow
def test_metrics_on_wn18rr_are_pykeens(shared_data: Path) -> None:
    graph = load_knowledge_graph(shared_data / "kg" / "WN18RR")
    model = ours("distmult", None, len(graph.entities), len(graph.relations))
    twin = theirs(model, DistMult, {})
    evaluator = RankBasedEvaluator(filtered=True)
    others = [mapped(graph.train), mapped(graph.valid)]
    expected = evaluator.evaluate(twin, mapped(graph.test), 64, additional_filter_triples=others, use_tqdm=False)
    check(evaluate_link_prediction(scored_by(twin, model), graph, progress=False), expected)
    own = evaluate_link_prediction(model, graph, progress=False)
    assert own.both.count == 2 * 3134
    assert own.both.mrr == pytest.approx(expected.get_metric("both.realistic.inverse_harmonic_mean_rank"), rel=1e-3)
