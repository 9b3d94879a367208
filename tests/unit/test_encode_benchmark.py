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

from hf_contrastive.errors import DataError, RecipeError

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
    files = {name: tmp_path / f"{name}.npy" for name in encode.CONTESTANTS}
    made = {
        name: encode_contestant.measure({**job, "contestant": name, "probes": str(file)})
        for name, file in files.items()
    }
    for measured in made.values():
        assert measured["rows"] == 40
        assert measured["sentences_per_second"] == pytest.approx(40 / measured["seconds"])
        assert np.array(measured["probe"]).shape == (16, 4)
    np.testing.assert_allclose(made["ours"]["probe"], made["peer"]["probe"], atol=0.05 if bf16 else 1e-5)
    compared = encode.compared(*files.values())
    assert compared["rows_compared"] == 40 and 0 <= compared["largest_difference"] <= (0.05 if bf16 else 1e-5)


def test_every_sentence_needs_a_vector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sentences: Path) -> None:
    monkeypatch.setattr(encode_contestant, "peer", lambda job: (1.0, np.zeros((39, 8), np.float32)))
    with pytest.raises(ValueError, match="peer: 39 vectors of 40 sentences"):
        encode_contestant.measure({**SETTINGS, "data": str(sentences), "contestant": "peer", "probes": "unused"})


def test_contestants_take_turns_and_go_on(tmp_path: Path, sentences: Path) -> None:
    ran: list[str] = []

    def run(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        assert script.is_file() and variables["OMP_NUM_THREADS"] == "1"
        assert Path(job["data"]).read_text() == "".join(sentences.read_text().splitlines(keepends=True)[:30])
        ran.append(job["contestant"])
        speed = 30.0 if job["contestant"] == "ours" else 20.0
        np.save(job["probes"], np.full((30, 2), speed / 1e6))
        return {"seconds": 1.0, "sentences_per_second": speed, "rows": 30}

    settings = {**SETTINGS, "rows": 30, "model": "m", "data": str(sentences)}

    def results() -> harness.Results:
        return harness.Results(tmp_path / "out.json", settings, [], encode.summarise)

    encode.compare(results(), settings, 1, run)
    encode.compare(results(), settings, 2, run)
    assert ran == ["ours", "peer"] * 2
    summary = json.loads((tmp_path / "out.json").read_text())["summary"]
    assert summary["ratio"]["mean"] == pytest.approx(1.5) and summary["target"] == 1.2
    assert summary["largest_difference"] == pytest.approx(1e-5)
    assert summary["rows_compared"] == summary["rows"] == 30
    assert not (tmp_path / "out.probes").exists()
    encode.show(summary)


def test_a_round_is_compared_though_a_kill_parts_it(tmp_path: Path, sentences: Path) -> None:
    def run(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        if job["contestant"] == killed:
            raise KeyboardInterrupt
        np.save(job["probes"], np.full((40, 2), 1.0 if job["contestant"] == "ours" else 3.0))
        return {"seconds": 1.0, "sentences_per_second": 40.0, "rows": 40}

    settings = {**SETTINGS, "model": "m", "data": str(sentences)}
    results = harness.Results(tmp_path / "out.json", settings, [], encode.summarise)
    killed = "peer"
    with pytest.raises(KeyboardInterrupt):
        encode.compare(results, settings, 1, run)
    killed = ""
    encode.compare(results, settings, 1, run)
    assert results.summary["largest_difference"] == 2
    with pytest.raises(RecipeError, match="0-ours.npy: not there"):
        encode.compared(tmp_path / "out.probes/0-ours.npy", tmp_path / "out.probes/0-peer.npy")


def test_rows_are_all_or_as_many_as_there_are(tmp_path: Path, sentences: Path) -> None:
    def run(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        lines = Path(job["data"]).read_text().splitlines()
        np.save(job["probes"], np.zeros((1, 1)))
        return {"seconds": 1.0, "sentences_per_second": 1.0, "rows": len(lines)}

    def rows(count: int) -> int:
        settings = {**SETTINGS, "model": "m", "data": str(sentences), "rows": count}
        results = harness.Results(tmp_path / f"{count}.json", settings, [], encode.summarise)
        encode.compare(results, settings, 1, run)
        return results.summary["rows"]

    assert rows(0) == rows(40) == 40
    with pytest.raises(DataError, match="40 lines are fewer than the 41 asked for; lower --rows, or give 0 for all"):
        rows(41)
