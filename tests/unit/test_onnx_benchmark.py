"""The ONNX benchmark's own logic: turns, resuming, sums, refusals, and one tiny measurement of each contestant."""

import json
from pathlib import Path
from typing import Any

import harness
import numpy as np
import onnx_contestant
import onnx_encode
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import write_sentences

from hf_contrastive.errors import CheckpointError
from hf_contrastive.hub.onnx import export_onnx
from hf_contrastive.models import SentenceEncoder

SETTINGS: dict[str, Any] = {"rows": 30, "threads": 1, "max_length": 16, "batch_size": 8}


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    return write_sentences(tmp_path / "sentences.txt", 40)


def test_contestants_encode_every_sentence_and_their_vectors_are_compared(tmp_path: Path, sentences: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "model")), pooler="cls")
    encoder.save_pretrained(tmp_path / "final")
    export_onnx(tmp_path / "final")
    job = {**SETTINGS, "model": str(tmp_path / "final"), "data": str(sentences)}
    made = {name: onnx_contestant.measure({**job, "contestant": name}) for name in onnx_encode.CONTESTANTS}
    for measured in made.values():
        assert measured["sentences_per_second"] == pytest.approx(40 / measured["seconds"])
    assert made["onnxruntime"]["difference"] < 1e-4 and "difference" not in made["torch"]
    found = onnx_contestant.of_torch(encoder.eval())(torch.tensor([[2, 5, 3]]), torch.ones(1, 3, dtype=torch.long))
    assert found.shape == (1, 32)


def test_the_difference_is_the_largest_of_all_batches_in_lengths_of_the_reference() -> None:
    batches = [(torch.full((2, 3), float(place)), torch.ones(2, 3)) for place in range(1, 6)]

    def of_tokens(tokens: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        return tokens.numpy()

    def too_long_in_the_last(tokens: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        return tokens.numpy() * (1.5 if tokens[0, 0] == 5 else 1)

    largest = onnx_contestant.largest_difference(too_long_in_the_last, of_tokens, batches)
    assert largest == pytest.approx(0.5 / np.sqrt(3))


def run(tmp_path: Path, difference: float = 1e-6) -> tuple[list[str], Any]:
    ran: list[str] = []

    def child(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        assert script.is_file() and variables["OMP_NUM_THREADS"] == "1"
        assert len(Path(job["data"]).read_text().splitlines()) == 30
        assert SentenceEncoder.from_pretrained(job["model"]).max_length == 16
        ran.append(job["contestant"])
        if job["contestant"] == "torch":
            return {"seconds": 1.5, "sentences_per_second": 20.0}
        return {"seconds": 1.0, "sentences_per_second": 30.0, "difference": difference * len(ran)}

    return ran, child


def test_contestants_take_turns_and_go_on(
    tmp_path: Path, sentences: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exported: list[Path] = []
    monkeypatch.setattr(onnx_encode, "export_onnx", exported.append)
    ran, child = run(tmp_path)
    settings = {**SETTINGS, "model": str(save_tiny_checkpoint(tmp_path / "model")), "data": str(sentences)}

    def results() -> harness.Results:
        return harness.Results(tmp_path / "out.json", settings, [], onnx_encode.summarise)

    for rounds in (1, 2, 2):
        onnx_encode.compare(results(), settings, rounds, child)
    assert ran == ["onnxruntime", "torch"] * 2 and len(exported) == 2
    summary = json.loads((tmp_path / "out.json").read_text())["summary"]
    assert summary["ratio"]["mean"] == pytest.approx(1.5)
    assert summary["largest_difference"] == pytest.approx(3e-6)
    onnx_encode.show(summary)
    assert "onnxruntime / torch: 1.50 ± 0.00; vectors differ by 3.0e-06" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_vectors_that_differ_are_no_measurement(
    tmp_path: Path, sentences: Path, monkeypatch: pytest.MonkeyPatch, difference: float
) -> None:
    monkeypatch.setattr(onnx_encode, "export_onnx", lambda folder: 0.0)
    settings = {**SETTINGS, "model": str(save_tiny_checkpoint(tmp_path / "model")), "data": str(sentences)}
    results = harness.Results(tmp_path / "out.json", settings, [], onnx_encode.summarise)
    with pytest.raises(CheckpointError, match="differs from torch by .*, more than 1e-04"):
        onnx_encode.compare(results, settings, 1, run(tmp_path, difference)[1])
    assert not (tmp_path / "out.json").exists()
