"""Tasks that the real mteb package runs on our encoder, on data at hand; without the package, what to install."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from helpers import save_tiny_checkpoint
from scipy.stats import spearmanr
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.evaluation import (
    EvaluationResults,
    evaluate_mteb,
    evaluate_sts,
    load_mteb_tasks,
    load_sts_pairs,
    mteb_revision,
    print_table,
    save_json,
)
from hf_contrastive.evaluation.mteb_tasks import _Encoder
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.training.measure import evaluate_model

ROWS = [
    ("a dog runs", "the dog sleeps", 3.5),
    ("a man plays music", "some women walk", 1.0),
    ("the old house", "the old tree near the house", 4.0),
    ("a blue car", "two cats", 0.0),
    ("the river is slow", "a slow river", 5.0),
    ("children eat", "a boy and a girl eat food", 4.2),
]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return save_tiny_checkpoint(tmp_path / "checkpoint")


def local_sts(rows: list[tuple[str, str, float]]):
    """mteb's own STSBenchmark with rows of ours in it."""
    (task,) = load_mteb_tasks(["STSBenchmark"])
    first, second, scores = (list(column) for column in zip(*rows, strict=True))
    table = Dataset.from_dict({"sentence1": first, "sentence2": second, "score": scores})
    task.dataset, task.data_loaded = DatasetDict({"test": table}), True
    return task


def serve(monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str, float]]) -> list[str]:
    """Let mteb load these rows for STSBenchmark instead of asking the Hub; returns a log of the loads."""
    loads = []

    def load_data(self, *_, **__) -> None:
        loads.append(self.metadata.name)
        self.dataset, self.data_loaded = local_sts(rows).dataset, True

    monkeypatch.setattr(type(load_mteb_tasks(["STSBenchmark"])[0]), "load_data", load_data)
    return loads


def expected_spearman(checkpoint: Path) -> float:
    encoder = SentenceEncoder.from_pretrained(checkpoint)
    a, b = (encoder.encode([row[side] for row in ROWS], normalize=True) for side in (0, 1))
    return float(spearmanr((a * b).sum(1), [row[2] for row in ROWS]).statistic)


def test_sts_task_is_spearman_of_our_cosines(checkpoint: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(checkpoint)
    result = evaluate_mteb(encoder.encode, [local_sts(ROWS)], name="x", revision="1", progress=False)
    score = result.scores["STSBenchmark"]
    assert score.main_score == pytest.approx(expected_spearman(checkpoint), abs=1e-9) and score.kind == "STS"
    assert score.metric == "cosine_spearman" and score.scores["test"][0]["cosine_spearman"] == score.main_score
    # the similarity that we offer to mteb, beside its own cosine
    assert score.scores["test"][0]["spearman"] == pytest.approx(score.main_score, abs=1e-9)


def test_retrieval_and_classification_run(checkpoint: Path) -> None:
    mocks = pytest.importorskip("mteb.mocks.mock_tasks")
    encoder = SentenceEncoder.from_pretrained(checkpoint)
    tasks = [mocks.MockRetrievalTask(), mocks.MockClassificationTask()]
    result = evaluate_mteb(encoder.encode, tasks, name="x", revision="1", progress=False)
    assert {score.kind for score in result.scores.values()} == {"Retrieval", "Classification"}
    assert all(0 <= score.main_score <= 1 for score in result.scores.values())


def test_what_mteb_cannot_compute_is_saved_as_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = evaluate_mteb(
        lambda texts: torch.ones(len(texts), 3), [local_sts(ROWS)], name="x", revision="1", progress=False
    )
    assert same.scores["STSBenchmark"].main_score is None
    results = EvaluationResults("a model", mteb=same)
    save_json(tmp_path / "out.json", results)
    (saved,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert saved["mteb"]["scores"]["STSBenchmark"]["scores"]["test"][0]["cosine_spearman"] is None
    print_table(results)
    assert " - " in capsys.readouterr().out


def test_similarities_are_cosines_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5)) * [[1], [9], [0.1]], rng.normal(size=(3, 5)) * 4
    model = _Encoder(lambda texts: torch.zeros(len(texts), 5), "x", "1")
    cosines = [[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]
    for wrap in (np.asarray, torch.from_numpy):
        np.testing.assert_allclose(model.similarity(wrap(a), wrap(b)), cosines, atol=1e-6)
        np.testing.assert_allclose(model.similarity_pairwise(wrap(a), wrap(b)), np.diag(cosines), atol=1e-6)


def test_command_prints_saves_and_does_not_run_twice(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = serve(monkeypatch, ROWS)
    output = tmp_path / "out" / "mteb.json"
    command = ["evaluate", str(checkpoint), "--mteb", "STSBenchmark", "--output", str(output), "--device", "cpu"]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output + str(done.exception)
    value = expected_spearman(checkpoint)
    assert f"{100 * value:.2f}" in done.output and "STSBenchmark" in done.output and "STS12" not in done.output
    (saved,) = json.loads(output.read_text())["results"]
    assert saved["sts"] is None and saved["mteb"]["scores"]["STSBenchmark"]["main_score"] == pytest.approx(value)
    files = [path.name for path in (tmp_path / "out/mteb.mteb").rglob("*.json")]
    assert "STSBenchmark.json" in files and loads == ["STSBenchmark"]
    CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert loads == ["STSBenchmark"]  # found in mteb's files
    again = json.loads(output.read_text())["results"][0]["mteb"]["scores"]["STSBenchmark"]
    assert again["main_score"] == pytest.approx(value, abs=1e-6)  # mteb rounds on the disk
    CliRunner().invoke(app, [*command, "--pooler", "cls"], env={"COLUMNS": "200"})
    assert loads == ["STSBenchmark"] * 2  # another pooler, other vectors


def test_revision_changes_with_all_that_changes_vectors(checkpoint: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(checkpoint)
    first = mteb_revision(encoder)
    assert mteb_revision(SentenceEncoder.from_pretrained(checkpoint)) == first != mteb_revision(encoder, bf16=True)
    encoder.max_length = 5
    shorter = mteb_revision(encoder)
    next(encoder.parameters()).data += 0.1
    assert len({first, shorter, mteb_revision(encoder)}) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("STSBenchmrk", "no task 'STSBenchmrk' in mteb .*; did you mean 'STSBenchmark'"),
        ("qqqqqqqq", "no task 'qqqqqqqq' in mteb .*; `mteb available-tasks` lists its names"),
        ("CIFAR10", "task CIFAR10 is of image; choose tasks of text alone"),
    ],
)
def test_names_that_cannot_be_run_are_refused(name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_mteb_tasks([name])


def test_data_that_cannot_be_loaded_are_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = load_mteb_tasks(["STSBenchmark"])

    def load_data(**_) -> None:
        raise ConnectionError("Couldn't reach the Hub\nmore")

    monkeypatch.setattr(task, "load_data", load_data)
    with pytest.raises(DataError, match=r"STSBenchmark: its data, mteb/stsbenchmark-sts, cannot be loaded \(Conn"):
        evaluate_mteb(SentenceEncoder.from_pretrained(checkpoint).encode, [task], name="x", revision="1")


def test_without_the_package_it_says_what_to_install(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(RecipeError, match=r"pip install 'hf-contrastive\[mteb\]'"):
        evaluate_model(str(checkpoint), tasks=[], mteb=["STSBenchmark"])


def test_aggregates_are_run_part_by_part(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mocks = pytest.importorskip("mteb.mocks.mock_tasks")
    encode = SentenceEncoder.from_pretrained(checkpoint).encode
    (task,) = load_mteb_tasks(["CQADupstackRetrieval"])
    parts = task.metadata.tasks
    with monkeypatch.context() as patched:
        for part in parts:
            patched.setattr(part, "load_data", lambda **_: (_ for _ in ()).throw(ConnectionError("no")))
        with pytest.raises(DataError, match=f"task {parts[0].metadata.name}: its data, mteb/.* cannot be loaded"):
            evaluate_mteb(encode, [task], name="x", revision="1", progress=False)
    for part in parts:
        mock = mocks.MockRetrievalTask()
        mock.load_data()
        part.dataset, part.data_loaded = {"default": {"test": mock.dataset["default"]["test"]}}, True
    found = evaluate_mteb(encode, [task], name="x", revision="1", progress=False).scores["CQADupstackRetrieval"]
    assert found.metric == "ndcg_at_10" and 0 < found.main_score <= 1


@pytest.mark.shared
def test_stsb_equals_ours(checkpoint: Path, shared_data: Path) -> None:
    pairs = load_sts_pairs(shared_data / "sts/STSB-test.tsv")
    rows = list(zip(pairs.sentence1, pairs.sentence2, pairs.scores.tolist(), strict=True))
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler="avg")

    def encode(texts: list[str]) -> torch.Tensor:
        """Rounded: to a tiny vocabulary many sentences are alike, and the padding of a batch would rank them."""
        return encoder.encode(texts).round(decimals=3)

    theirs = evaluate_mteb(encode, [local_sts(rows)], name="x", revision="1", progress=False)
    ours = evaluate_sts(encode, shared_data / "sts", ["STSBenchmark"], progress=False)
    found = theirs.scores["STSBenchmark"].main_score
    assert found == pytest.approx(ours.scores["STSBenchmark"].spearman, abs=1e-4) and abs(found) > 0.01
