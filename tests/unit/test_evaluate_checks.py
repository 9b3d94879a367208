"""What `evaluate` refuses, before anything is encoded, and in words."""

from pathlib import Path
from typing import Any

import pytest
from helpers import save_tiny_checkpoint

from hf_contrastive.errors import RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.loading import inference_device
from hf_contrastive.training.measure import evaluate_model


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    def encode(*_: Any, **__: Any) -> None:
        raise AssertionError("encoded something")

    monkeypatch.setattr(SentenceEncoder, "encode", encode)
    return str(save_tiny_checkpoint(tmp_path / "checkpoint"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_length": 129}, "max_length: 129 tokens are more than the 128 positions"),
        ({"device": "gpu"}, "device: 'gpu' cannot be used .*; say cpu, cuda or cuda:1"),
        ({"pooler": "max"}, "pooler: unknown"),
    ],
)
def test_options_that_cannot_be_used(checkpoint: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        evaluate_model(checkpoint, tasks=[], **given)


def test_an_output_that_cannot_be_written(checkpoint: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="output: .* cannot be written"):
        evaluate_model(checkpoint, tasks=[], output=tmp_path / "file/table.json")
    with pytest.raises(RecipeError, match="is a folder; name a JSON file"):
        evaluate_model(checkpoint, tasks=[], output=tmp_path)


def test_a_device_is_named_or_found() -> None:
    assert inference_device("cpu").type == "cpu"
    with pytest.raises(RecipeError, match="cuda:99"):
        inference_device("cuda:99")
