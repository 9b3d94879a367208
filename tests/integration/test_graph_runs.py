"""Whole runs of graphs and hierarchies: they learn, leave a folder that loads, stop and go on."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from graph_runs import ACE, GROUPS, MEMBERS, make_graph_run, make_order_run
from resuming import assert_killed_and_resumed_is_the_same, assert_stopped_and_resumed_is_the_same
from runs import assert_generator_learned_and_is_not_published, final_weights, log_of, run_recipe
from safetensors.torch import load_file

from hf_contrastive.arguments import GraphEvaluationArguments
from hf_contrastive.data import KnowledgeGraph, Triples, load_hierarchy, load_knowledge_graph
from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation import evaluate_hypernymy, evaluate_link_prediction
from hf_contrastive.evaluation.link_prediction import ranks
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel, OrderEmbeddingModel
from hf_contrastive.tasks.graphs import link_evaluator
from hf_contrastive.training.table_trainer import TableTrainer

UNIFORM = {"name": "uniform", "k": 12}
EACH = {"name": "uniform", "k": 6, "shared": False}
KBGAN = {"name": "adversarial", "estimator": "reinforce", "k": 2, "part": EACH}
MIXTURE = {"name": "mixture", "lambda": 0.5, "parts": [UNIFORM, ACE]}
Make = Callable[..., Path]


def assert_learned(run: Path, results: dict[str, Any], of: str, kept: float = 0.9) -> None:
    log = log_of(run)
    losses = [entry[f"loss_of_a_{of}"] for entry in log]
    assert all(map(math.isfinite, losses)) and sum(losses[-2:]) < kept * sum(losses[:2])
    assert {f"{of}s_per_second", "train_seconds", "learning_rate"} <= log[0].keys()
    assert results["steps"] == 24 and [entry["step"] for entry in results["curve"]] == [8, 16, 24]
    written = json.loads((run / "out/results.json").read_text())
    assert written["after"] == json.loads(json.dumps(results["after"])) and written["environment"]["torch"]
    suffixes = {path.suffix for path in (run / "out/final").rglob("*") if path.is_file()}
    assert suffixes <= {
        ".json",
        ".safetensors",
        ".txt",
        ".md",
        ".png",
    }  # a card shows pictures where they can be drawn


GRAPHS: list[dict[str, Any]] = [
    {},
    {"interaction": "transe", "constrained": True, "objective": "triplet", "margin": 1.0},
    {"interaction": "transd", "objective": "triplet", "margin": 1.0, "corrupted_side": "bernoulli"},
    {
        "interaction": "rotate",
        "objective": "negative_sampling",
        "margin": 4.0,
        "negatives": {"name": "self_adversarial", "part": EACH, "alpha": 1.0},
    },
    {"interaction": "distmult", "objective": "softmax", "reciprocal": True},
    {"reciprocal": True, "regularizer": "n3", "regularizer_weight": 0.01, "eval_triples": 3},
    {"objective": "nce", "negatives": {"name": "unigram", "k": 24}},
    {"objective": "sampled_softmax", "reciprocal": True},
    {"negatives": [UNIFORM, {"name": "cached", "k": 4, "slots": 512}], "gradient_accumulation_steps": 2},
    {"negatives": MIXTURE, "reciprocal": True},
    {"negatives": {**ACE, "part": UNIFORM, "noise": 0.5}},
    {"negatives": KBGAN, "filter_known": False},
]


@pytest.mark.parametrize("options", GRAPHS, ids=lambda options: str(options)[:70])
def test_every_kind_of_graph_run_learns_and_leaves_a_folder(tmp_path: Path, options: dict[str, Any]) -> None:
    run = make_graph_run(tmp_path / "run", **options)
    results = run_recipe(run)
    assert_learned(run, results, "triple")
    assert ("negatives" in log_of(run)[0]) == (options.get("objective") != "softmax")
    graph = load_knowledge_graph(run / "graph")
    assert (run / "out/final/entities.txt").read_text().splitlines() == graph.entities
    assert (run / "out/final/relations.txt").read_text().splitlines() == graph.relations
    assert sorted(graph.relations) == ["across", "before", "next"]
    model = KnowledgeGraphModel.from_pretrained(run / "out/final")
    tables = final_weights(run)
    assert tables.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(tables[name], value) for name, value in model.state_dict().items())
    assert len(tables["entity_embeddings"]) == GROUPS * MEMBERS
    assert len(tables["relation_embeddings"]) == 3 * (2 if options.get("reciprocal") else 1)
    assert evaluate_link_prediction(model, graph, "test", progress=False).to_dict() == results["after"]
    after = evaluate_link_prediction(model, graph, "valid", progress=False).both
    shown = results["curve"][-1]
    if "eval_triples" not in options:
        assert (shown["eval_mrr"], shown["eval_hits_at_3"]) == pytest.approx((after.mrr, after.hits_at_3))


def test_a_few_triples_are_measured_with_the_filter_of_all() -> None:
    """Of one head all tails but one are true, most of them in what is not measured."""
    every = Triples(torch.zeros(20, dtype=torch.long), torch.zeros(20, dtype=torch.long), torch.arange(20))
    graph = KnowledgeGraph([f"e{i}" for i in range(21)], ["r"], every[:3], every[3:15], every[15:])
    torch.manual_seed(0)
    model = KnowledgeGraphModel(KnowledgeGraphConfig(21, 1, "distmult", 4))
    found = link_evaluator(graph, GraphEvaluationArguments(eval_triples=3))(model)
    heads, tails = ranks(model, graph, graph.valid[:3])
    assert tails.max() <= 2  # of itself and the one that is false
    both = torch.cat([heads, tails])
    assert found["mr"] == pytest.approx(both.mean().item()) and found["mrr"] == pytest.approx((1 / both).mean().item())
    assert link_evaluator(graph, GraphEvaluationArguments(eval_split="test"))(model)["mr"] != found["mr"]


def test_held_out_links_are_predicted(tmp_path: Path) -> None:
    """Each is the reverse of a link in train."""
    run = make_graph_run(tmp_path / "run", reciprocal=True, max_steps=200, eval_strategy="no", dimension=16)
    both = run_recipe(run)["after"]["both"]
    assert both["mrr"] > 0.5  # by chance 0.16


ORDERS: list[dict[str, Any]] = [
    {},
    {"objective": "triplet", "negatives": UNIFORM},
    {"protocol": "path_counted", "filter_known": False},
    {"negatives": {"name": "self_adversarial", "part": EACH, "alpha": 0.5}},
    {"negatives": [EACH, {"name": "cached", "k": 2, "slots": 512}], "gradient_accumulation_steps": 2},
    {"negatives": MIXTURE},
    {"negatives": KBGAN},
]


@pytest.mark.parametrize("options", ORDERS, ids=lambda options: str(options)[:70])
def test_every_kind_of_order_run_learns_and_leaves_a_folder(tmp_path: Path, options: dict[str, Any]) -> None:
    run = make_order_run(tmp_path / "run", **options)
    results = run_recipe(run)
    assert_learned(run, results, "pair")
    sizes = {"protocol": options.get("protocol", "filtered"), "dev_pairs": 10, "test_pairs": 10}
    hierarchy = load_hierarchy(run / "pairs.tsv", **sizes)
    assert (run / "out/final/concepts.txt").read_text().splitlines() == hierarchy.names
    model = OrderEmbeddingModel.from_pretrained(run / "out/final")
    tables = final_weights(run)
    assert tables.keys() == {"concept_embeddings"}
    assert torch.equal(tables["concept_embeddings"], model.concept_embeddings) and len(hierarchy.names) == 40
    assert model.concept_embeddings.min() == 0  # steps are followed by a projection
    found = evaluate_hypernymy(model, hierarchy, "test")
    assert (found.accuracy, found.auc) == (results["after"]["accuracy"], results["after"]["auc"])
    assert results["after"]["protocol"] == sizes["protocol"] and results["leaks"] == hierarchy.leaks
    dev = evaluate_hypernymy(model, hierarchy, "dev")
    assert (results["curve"][-1]["eval_accuracy"], results["curve"][-1]["eval_auc"]) == (dev.accuracy, dev.auc)
    start = load_file(run / "out/checkpoint-8/model.safetensors")["order.concept_embeddings"]
    assert not torch.equal(start, model.concept_embeddings)


def test_held_out_pairs_are_told_apart(tmp_path: Path) -> None:
    options = {"dimension": 12, "test_pairs": 20, "negatives": {"name": "uniform", "k": 4, "shared": False}}
    run = make_order_run(tmp_path / "run", max_steps=300, eval_strategy="no", logging_steps=300, **options)
    after = run_recipe(run)["after"]
    assert after["auc"] > 0.75 and after["ceiling"] == 1.0


def test_the_best_checkpoint_is_published(tmp_path: Path) -> None:
    best = {"load_best_model_at_end": True, "metric_for_best_model": "mr", "greater_is_better": True}  # the worst
    run = make_graph_run(tmp_path / "run", **best)
    results = run_recipe(run)
    ranks = {entry["step"]: entry["eval_mr"] for entry in results["curve"]}
    assert results["best_step"] == max(ranks, key=ranks.__getitem__) != 24 and results["best_dev"] == max(
        ranks.values()
    )
    kept = load_file(run / f"out/checkpoint-{results['best_step']}/model.safetensors")
    assert all(torch.equal(kept[f"graph.{name}"], table) for name, table in final_weights(run).items())


@pytest.mark.parametrize("interaction", ["transe", "distmult", "transd"])
def test_constrained_models_keep_their_lengths_through_training(
    tmp_path: Path, interaction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    for constrained in (True, False):
        run = make_graph_run(
            tmp_path / str(constrained), interaction=interaction, constrained=constrained, learning_rate=1.0
        )

        def watched(self: TableTrainer, step: int, found: list[torch.Tensor] = lengths[constrained]) -> None:
            graph = self.contrastive_model.graph
            tables = [graph.entity_embeddings, *([graph.relation_embeddings] if interaction == "transd" else [])]
            found.append(torch.cat([table.detach().norm(dim=1) for table in tables]))
            self.contrastive_model.draws.step = step

        with monkeypatch.context() as patch:
            patch.setattr(TableTrainer, "set_step", watched)
            run_recipe(run)
        lengths[constrained].append(final_weights(run)["entity_embeddings"].norm(dim=1))
    kept, free = lengths[True], lengths[False]
    assert len(kept) == 25
    if interaction == "transd":
        assert all(length.max() < 1 + 1e-5 for length in kept) and min(length.min() for length in kept) < 0.99
    else:
        assert all(torch.allclose(length, torch.ones_like(length)) for length in kept)
    assert max(length.max() for length in free) > 1.05


def test_the_generator_learns_and_stays_out_of_what_is_published(tmp_path: Path) -> None:
    for make, options in ((make_graph_run, {"negatives": MIXTURE}), (make_order_run, {"negatives": KBGAN})):
        run = make(tmp_path / make.__name__, **options)
        run_recipe(run)
        assert_generator_learned_and_is_not_published(run)


# --- stopped and resumed ---


CACHED = {"negatives": [MIXTURE, {"name": "cached", "k": 2, "slots": 512}], "gradient_accumulation_steps": 2}


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (make_graph_run, {}),
        (make_graph_run, {"negatives": KBGAN, "reciprocal": True, "lr_scheduler_type": "cosine"}),
        (make_graph_run, {**CACHED, "constrained": True, "interaction": "transe"}),
        (make_graph_run, {"objective": "softmax", "reciprocal": True}),
        (make_order_run, {}),
        (make_order_run, CACHED),
        (make_order_run, {"negatives": KBGAN}),
    ],
    ids=lambda given: given.__name__ if callable(given) else str(given)[:60],
)
def test_stopped_and_resumed_ends_with_the_same_bits(tmp_path: Path, make: Make, options: dict[str, Any]) -> None:
    assert_stopped_and_resumed_is_the_same(make, tmp_path, **options)


def test_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    assert_killed_and_resumed_is_the_same(make_graph_run, tmp_path, negatives=MIXTURE)


def test_a_finished_run_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for make, key in ((make_graph_run, "dimension"), (make_order_run, "margin")):
        run = make(tmp_path / make.__name__)
        first = run_recipe(run)
        with monkeypatch.context() as patch:
            patch.setattr(TableTrainer, "training_step", lambda *_: pytest.fail("trained"))
            again = run_recipe(run)
        assert again["after"] == first["after"] and again["steps"] == first["steps"]
        with pytest.raises(RecipeError, match=f"holds a run of another recipe, which differs in {key}"):
            run_recipe(run, f"--{key}", "4")


def test_accumulated_batches_are_one_batch(tmp_path: Path) -> None:
    options = {"objective": "softmax", "reciprocal": True, "regularizer": "n3", "regularizer_weight": 0.1}
    one = make_graph_run(tmp_path / "one", **options)
    two = make_graph_run(tmp_path / "two", per_device_train_batch_size=8, gradient_accumulation_steps=2, **options)
    run_recipe(one), run_recipe(two)
    for name, table in final_weights(one).items():
        torch.testing.assert_close(final_weights(two)[name], table, rtol=1e-4, atol=1e-5)
