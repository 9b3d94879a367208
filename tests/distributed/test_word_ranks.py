"""Tables on two gloo ranks: gradients are sums over both, and a run ends as it would in one process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import launch
from runs import final_weights, log_of
from word_runs import make_word_run

from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

pytestmark = pytest.mark.distributed

UNIGRAM = {"name": "unigram", "k": 16, "stands_for": 4}
MIXTURE = {
    "name": "mixture",
    "lambda": 0.5,
    "parts": [UNIGRAM, {"name": "adversarial", "estimator": "reinforce", "k": 3, "off_policy": True}],
}
# Nothing is drawn; an epoch, whose last batch ranks fill up, is longer.
PLAIN = {"objective": "softmax", "subsample": 0.0, "dynamic_window": False, "max_steps": 16}
RUNS: dict[str, dict[str, Any]] = {
    "fixed": {"negatives": UNIGRAM},
    "learned": {"negatives": MIXTURE},
    "stopped": {"negatives": MIXTURE},
    "exact": PLAIN,
    "accumulated": {**PLAIN, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
    "two_sentences": {"negatives": UNIGRAM, "max_train_rows": 2, "max_steps": 8},  # a rank has nothing of its own
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    for name, options in RUNS.items():
        make_word_run(folder / name, **{"per_device_train_batch_size": 2, **options})
    launch(str(Path(__file__).with_name("worker_words.py")), str(folder), str(folder / "results.json"))
    found = json.loads((folder / "results.json").read_text())
    assert found["world_size"] == 2
    return found


@pytest.mark.parametrize("case", ["softmax", "hierarchical", "told", "rank_without_pairs", "rank_without_gradient"])
def test_gradients_of_two_halves_are_summed_to_that_of_the_whole(results: dict[str, Any], case: str) -> None:
    found = results[case]
    assert found["norm"] > 0.1 and found["difference"] < 1e-12
    assert found["same"], "the ranks differ in the last bits"
    assert found["sparse"] == [True, case != "softmax"]
    assert found["had_all"] == case.startswith("rank_without")  # else neither rank knew it before


def test_a_rank_without_a_gradient_follows_the_others_dense_one(results: dict[str, Any]) -> None:
    found = results["dense_on_one_rank_only"]
    assert found["sparse"] == [True, False] and found["difference"] < 1e-12 and found["same"]


def test_where_no_rank_has_a_gradient_nothing_is_made(results: dict[str, Any]) -> None:
    assert results["nothing_to_sum"]


def test_ddp_takes_ignored_tables_beside_a_generator_and_refuses_them_alone(results: dict[str, Any]) -> None:
    """Which is why TableTrainer does without it there."""
    assert results["ddp_with_sampler_that_learns"] == ""
    assert "doesn't have any parameter" in results["ddp_without_sampler_that_learns"]


@pytest.mark.parametrize("name", RUNS)
def test_runs_end_with_the_same_bits_on_both_ranks(results: dict[str, Any], name: str) -> None:
    found = results[name]
    assert found["different"] == []
    learns = RUNS[name].get("negatives") is MIXTURE
    assert found["ddp"] == learns and any("generator" in key for key in found["names"]) == learns
    assert found["starts"] == (2 if name == "stopped" else 1)
    assert not found["broadcasts"]  # of counts and known pairs, at every step


def test_what_is_published_is_what_both_ranks_have_learned(results: dict[str, Any], folder: Path) -> None:
    for name in ("fixed", "learned"):
        losses = [entry["loss_of_a_pair"] for entry in log_of(folder / name)]
        assert sum(losses[-2:]) < 0.9 * sum(losses[:2])
        scores = json.loads((folder / name / "out/results.json").read_text())["after"]["similarity"]["scores"]
        assert scores["pairs"]["spearman"] > 0.5
        assert set(final_weights(folder / name)) == {"input_embeddings", "output_embeddings"}


def test_stopped_and_resumed_ends_with_the_same_bits(results: dict[str, Any], folder: Path) -> None:
    whole, cut = final_weights(folder / "learned"), final_weights(folder / "stopped")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.fixture(scope="module")
def one(folder: Path) -> dict[str, torch.Tensor]:
    """The tables of one process with batches of 4 chunks."""
    run = make_word_run(folder / "one" / "process", **PLAIN, per_device_train_batch_size=4)
    train(load_recipe(run / "recipe.yaml"))
    return final_weights(run)


@pytest.mark.parametrize("name", ["exact", "accumulated"])
def test_two_ranks_end_where_one_process_does(
    results: dict[str, Any], folder: Path, one: dict[str, torch.Tensor], name: str
) -> None:
    """With 2 chunks on each rank, or 1, accumulated."""
    for key, table in final_weights(folder / name).items():
        torch.testing.assert_close(table, one[key], rtol=1e-4, atol=1e-5)
