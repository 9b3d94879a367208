"""The encode benchmark's own logic: turns, resuming, sums, and one tiny measurement of each contestant."""

import json
from pathlib import Path
from typing import Any

import encode
import encode_contestant
import harness
import numpy as np
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import write_sentences

SETTINGS: dict[str, Any] = {
    "rows": 40,
    "device": "cpu",
    "threads": 1,
    "max_length": 32,
    "batch_tokens": None,
    "peer_batch_size": 8,
    "bf16": False,
}


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    return write_sentences(tmp_path / "sentences.txt", 40)


@pytest.mark.parametrize("bf16", [False, True])
def test_contestants_make_the_same_vectors(tmp_path: Path, sentences: Path, bf16: bool) -> None:
    pytest.importorskip("sentence_transformers")
    torch.manual_seed(0)
    job = {**SETTINGS, "bf16": bf16, "data": str(sentences), "model": str(save_tiny_checkpoint(tmp_path / "model"))}
    made = {name: encode_contestant.measure({**job, "contestant": name}) for name in encode.CONTESTANTS}
    for measured in made.values():
        assert measured["sentences_per_second"] == pytest.approx(40 / measured["seconds"])
        assert np.array(measured["probe"]).shape == (16, 4)
    np.testing.assert_allclose(made["ours"]["probe"], made["peer"]["probe"], atol=0.05 if bf16 else 1e-5)


def test_contestants_take_turns_and_go_on(tmp_path: Path, sentences: Path) -> None:
    ran: list[str] = []

    def run(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        assert script.is_file() and variables["OMP_NUM_THREADS"] == "1"
        assert Path(job["data"]).read_text() == "".join(sentences.read_text().splitlines(keepends=True)[:30])
        ran.append(job["contestant"])
        speed = 30.0 if job["contestant"] == "ours" else 20.0
        return {"seconds": 1.0, "sentences_per_second": speed, "probe": [[speed / 1e6]]}

    settings = {**SETTINGS, "rows": 30, "model": "m", "data": str(sentences)}

    def results() -> harness.Results:
        return harness.Results(tmp_path / "out.json", settings, [], encode.summarise)

    encode.compare(results(), settings, 1, run)
    encode.compare(results(), settings, 2, run)
    assert ran == ["ours", "peer"] * 2
    summary = json.loads((tmp_path / "out.json").read_text())["summary"]
    assert summary["ratio"]["mean"] == pytest.approx(1.5) and summary["target"] == 1.2
    assert summary["largest_difference"] == pytest.approx(1e-5)
    encode.show(summary)
