"""Two gloo ranks do what one process does."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_checkpoint
from ranks import launch
from runs import final_weights, make_run, train_command

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("gradients")
    torch.manual_seed(0)
    save_tiny_checkpoint(folder / "checkpoint")
    launch(str(Path(__file__).with_name("worker_gradient.py")), str(folder / "checkpoint"), str(folder / "out.json"))
    return json.loads((folder / "out.json").read_text())


@pytest.mark.parametrize(
    "case", ["unsup", "sup", "sup_rank_without_hard", "adversarial", "symmetric_chunked", "fsdp2", "fsdp2_adversarial"]
)
def test_gradient_is_that_of_one_process(gradients: dict, case: str) -> None:
    assert gradients["world_size"] == 2
    found = gradients[case]
    assert found["norm"] > 1e-3
    assert found["ratio"] == pytest.approx(1, abs=1e-5)
    assert found["cosine"] > 0.99999
    assert found["loss_difference"] < 1e-6


def test_fsdp2_really_shards_and_encodes(gradients: dict) -> None:
    assert 0 < gradients["fsdp2"]["share"] < 0.6
    assert gradients["fsdp2"]["embed_difference"] < 1e-5


@pytest.mark.parametrize("case", ["bank", "bank_of_local_candidates"])
def test_bank_caches_and_generator_stay_the_same_on_both_ranks(gradients: dict, case: str) -> None:
    assert gradients[case]["different"] == []
    assert not gradients[case]["same_draws"]
    assert gradients[case]["written"] == gradients[case]["expected"]


def test_training_on_two_ranks_ends_with_the_weights_of_one_process(tmp_path: Path) -> None:
    """Dropout off. accelerate deals batch i to rank i % 2, so two batches of 8 hold the rows of one of 16."""
    one = make_run(tmp_path / "one", dropout=0.0, per_device_train_batch_size=16, seed=5)
    two = make_run(tmp_path / "two", dropout=0.0, per_device_train_batch_size=8, seed=5)
    subprocess.run(train_command(one), check=True, capture_output=True, timeout=300)
    launch("-m", "hf_contrastive.train", str(two / "recipe.yaml"))
    # 12 steps of 2 x 8 rows out of 240: a rank on its own would have needed 12 steps of 8.
    states = [json.loads((run / "out/checkpoint-12/trainer_state.json").read_text()) for run in (one, two)]
    assert states[1]["epoch"] == pytest.approx(states[0]["epoch"]) == pytest.approx(0.8)
    expected, found = final_weights(one), final_weights(two)
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5, msg=name)
    ours, theirs = (json.loads((run / "out/results.json").read_text()) for run in (one, two))
    assert theirs["after"]["dev"]["dev_spearman"] == pytest.approx(ours["after"]["dev"]["dev_spearman"], abs=1e-4)
