"""Graphs and hierarchies on two gloo ranks: both end with the same tables, and where one process would."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from graph_runs import make_graph_run, make_order_run
from ranks import launch
from runs import final_weights

from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

pytestmark = pytest.mark.distributed

EACH = {"name": "uniform", "k": 6, "shared": False}
ACE = {"name": "adversarial", "k": 6, "part": EACH}
TWO_STEPS = {"max_steps": 2, "eval_steps": 2, "save_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 8}
# Every entity counts, and both sides of each triple: nothing is drawn.
EXACT = {"objective": "softmax", "reciprocal": True, "regularizer": "n3", "regularizer_weight": 0.1}
RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "graph": (make_graph_run, {}),
    "graph_constrained": (make_graph_run, {"interaction": "transe", "constrained": True}),
    "graph_adversarial": (make_graph_run, {"negatives": ACE, "reciprocal": True}),
    "graph_one_triple_a_rank": (make_graph_run, {"negatives": ACE, "per_device_train_batch_size": 1}),
    "graph_exact": (make_graph_run, EXACT),
    "graph_accumulated": (
        make_graph_run,
        {**EXACT, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    ),
    "order": (make_order_run, {}),
    "order_adversarial": (make_order_run, {"negatives": ACE}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    for name, (make, options) in RUNS.items():
        make(folder / name, **{**TWO_STEPS, **options})
    launch(str(Path(__file__).with_name("worker_graphs.py")), str(folder), str(folder / "results.json"))
    found = json.loads((folder / "results.json").read_text())
    assert found["world_size"] == 2
    return found


@pytest.mark.parametrize("name", RUNS)
def test_two_steps_end_with_the_same_bits_on_both_ranks(results: dict[str, Any], folder: Path, name: str) -> None:
    found, learns = results[name], "negatives" in RUNS[name][1]
    assert found["steps"] == 2 and found["different"] == [] and found["ddp"] == learns
    kind = "graph" if name.startswith("graph") else "order"
    tables = {f"{kind}.{table}" for table in final_weights(folder / name)}
    generator = "negatives.part.generator."
    learned = {f"{generator}{which}_projection" for which in ("anchor", "candidate")} if learns else set()
    assert set(found["moved"]) == tables | learned


@pytest.fixture(scope="module")
def one(folder: Path) -> dict[str, torch.Tensor]:
    """The tables of one process with batches of 16."""
    run = make_graph_run(folder / "one" / "process", **{**TWO_STEPS, **EXACT, "per_device_train_batch_size": 16})
    train(load_recipe(run / "recipe.yaml"))
    return final_weights(run)


@pytest.mark.parametrize("name", ["graph_exact", "graph_accumulated"])
def test_two_ranks_end_where_one_process_does(
    results: dict[str, Any], folder: Path, one: dict[str, torch.Tensor], name: str
) -> None:
    """With 8 triples on each rank, or 4, accumulated."""
    assert results["world_size"] == 2
    for key, table in final_weights(folder / name).items():
        torch.testing.assert_close(table, one[key], rtol=1e-4, atol=1e-5)
