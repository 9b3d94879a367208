"""Labelled pairs on two gloo ranks: the gradient of one process."""

import json
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_checkpoint
from ranks import launch


@pytest.mark.distributed
def test_gradient_is_that_of_one_process(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_tiny_checkpoint(tmp_path / "checkpoint")
    launch(str(Path(__file__).with_name("worker_pairs.py")), str(tmp_path / "checkpoint"), str(tmp_path / "out.json"))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found.pop("world_size") == 2 and set(found) == {"whole", "chunks"}
    for case in found.values():
        assert case["norm"] > 1e-2 and case["ratio"] == pytest.approx(1, abs=1e-5)
        assert case["difference"] < 1e-6 and case["loss_difference"] < 1e-6
