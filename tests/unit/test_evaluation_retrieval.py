"""Retrieval metrics against sentence-transformers' evaluator and against a loop; BEIR folders and what is refused."""

import gzip
import json
import logging
import math
import random
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import sentence
from torch import Tensor
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.evaluation import evaluate_retrieval, load_retrieval_data, resolve_retrieval_folders
from hf_contrastive.evaluation import retrieval as module
from hf_contrastive.evaluation.retrieval import score_ranking, search_documents
from hf_contrastive.models import SentenceEncoder

HEADER = "query-id\tcorpus-id\tscore\n"


def make_folder(folder: Path, graded: bool = False, documents: int = 150, packed: bool = False) -> Path:
    """A collection of random sentences; every query has one to four relevant documents."""
    rng = random.Random(3)
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": "dog" * (n % 2), "text": sentence(rng)} for n in range(documents)]
    queries = [{"_id": str(n), "text": sentence(rng)} for n in range(40)]
    judged = {
        (query["_id"], f"d{rng.randrange(documents)}"): rng.randint(1, 3) if graded else 1
        for query in queries[:30]
        for _ in range(rng.randint(1, 4))
    }
    text = "".join(json.dumps(row) + "\n" for row in corpus)
    if packed:
        (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / "corpus.jsonl").write_text(text)
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    lines = "".join(f"{query}\t{document}\t{grade}\n" for (query, document), grade in judged.items())
    (folder / "qrels" / "test.tsv").write_text(f"{HEADER}{lines}35\td1\t0\n")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(folder / "bare")))
    encoder.save_pretrained(folder / "model")
    return folder / "model"


def hashed(texts: list[str]) -> Tensor:
    """A vector that depends on the text and on nothing else."""
    return torch.stack(
        [torch.randn(8, generator=torch.Generator().manual_seed(crc32(text.encode()))) for text in texts]
    )


def test_figures_are_those_of_sentence_transformers(tmp_path: Path, model: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    folder = make_folder(tmp_path / "beir")
    data = load_retrieval_data(folder)
    relevant = {query: set(gains) for query, gains in zip(data.query_ids, data.gains, strict=True)}
    evaluator = InformationRetrievalEvaluator(
        dict(zip(data.query_ids, data.queries, strict=True)),
        dict(zip(data.document_ids, data.documents, strict=True)),
        relevant,
        precision_recall_at_k=[1, 5, 10, 100],
        write_csv=False,
        name="x",
    )
    theirs = evaluator(sentence_transformers.SentenceTransformer(str(model), device="cpu"))
    encoder = SentenceEncoder.from_pretrained(str(model))
    ours = evaluate_retrieval(encoder.encode, {"x": folder}, progress=False).scores["x"]
    assert ours.ndcg_at_10 == pytest.approx(theirs["x_cosine_ndcg@10"], abs=1e-4)
    assert ours.mrr_at_10 == pytest.approx(theirs["x_cosine_mrr@10"], abs=1e-4)
    for k in (1, 5, 10, 100):
        assert ours.recall[str(k)] == pytest.approx(theirs[f"x_cosine_recall@{k}"], abs=1e-4)
    assert 0 < ours.ndcg_at_10 < ours.recall["100"] < 1
    assert (ours.queries, ours.documents) == (30, 150)


def test_graded_figures_are_those_of_a_loop(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, graded=True)
    data = load_retrieval_data(folder)
    queries, documents = hashed(data.queries).double(), hashed(data.documents).double()
    ndcg, mrr, recall = 0.0, 0.0, 0.0
    for query, gains in zip(queries, data.gains, strict=True):
        cosines = [float(query @ d / (query.norm() * d.norm())) for d in documents]
        ranked = sorted(range(len(documents)), key=lambda row: (-round(cosines[row], 6), data.document_ids[row]))
        grades = [gains.get(data.document_ids[row], 0) for row in ranked]
        best = sorted(gains.values(), reverse=True)
        dcg, ideal = (
            sum(grade / math.log2(rank + 1) for rank, grade in enumerate(part[:10], start=1))
            for part in (grades, best)
        )
        ndcg += dcg / ideal / 30
        mrr += next((1 / rank for rank, grade in enumerate(grades[:10], start=1) if grade), 0) / 30
        recall += sum(grade > 0 for grade in grades[:5]) / len(gains) / 30
    ours = evaluate_retrieval(hashed, {"x": folder}, progress=False).scores["x"]
    assert (ours.ndcg_at_10, ours.mrr_at_10, ours.recall["5"]) == pytest.approx((ndcg, mrr, recall), abs=1e-6)
    assert ours.ndcg_at_10 > 0 and {grade for gains in data.gains for grade in gains.values()} == {1, 2, 3}


def test_the_grade_is_the_gain_and_of_equal_scores_the_later_id_is_first(tmp_path: Path) -> None:
    data = load_retrieval_data(make_folder(tmp_path))
    one = type(data)("x", ["a", "b", "c"], [""] * 3, ["q"], [""], [{"a": 3, "c": 1, "gone": 2}])
    rows = np.array([[0, 1, -1, 2]])
    score = score_ranking(one, rows, np.array([[0.5, 0.5, 0.0, 0.4]]))  # b, a, c
    assert score.mrr_at_10 == 0.5 and score.recall["5"] == pytest.approx(2 / 3) and score.recall["1"] == 0
    best = 3 + 2 / math.log2(3) + 1 / math.log2(4)
    assert score.ndcg_at_10 == pytest.approx((3 / math.log2(3) + 1 / math.log2(4)) / best)


def test_figures_are_those_of_trec_eval_where_scores_are_equal(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    data = load_retrieval_data(make_folder(tmp_path, graded=True))
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, (len(data.queries), len(data.documents))) / 8  # many alike
    rows = np.argsort(rng.random(scores.shape), axis=1)
    ours = score_ranking(data, rows, np.take_along_axis(scores, rows, axis=1))
    judged = dict(zip(data.query_ids, data.gains, strict=True))
    found = {
        query: dict(zip(data.document_ids, own.tolist(), strict=True))
        for query, own in zip(data.query_ids, scores, strict=True)
    }
    theirs = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10", "recall.10"}).evaluate(found).values()
    ndcg, recall = (np.mean([query[name] for query in theirs]) for name in ("ndcg_cut_10", "recall_10"))
    assert (ours.ndcg_at_10, ours.recall["10"]) == pytest.approx((ndcg, recall), abs=1e-9)


@pytest.mark.parametrize("index", ["flat", "ivf", "hnsw"])
def test_faiss_finds_what_exact_search_finds(tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {"x": make_folder(tmp_path)}
    exact = evaluate_retrieval(hashed, folders, progress=False)
    monkeypatch.setattr(module, "_QUERIES", 7)  # in pieces
    monkeypatch.setattr(module, "_DOCUMENTS", 32)
    assert evaluate_retrieval(hashed, folders, progress=False) == exact
    found = evaluate_retrieval(hashed, folders, index, progress=False)
    assert found.index == index and found.scores["x"].ndcg_at_10 == pytest.approx(exact.average, abs=1e-6)
    with pytest.raises(RecipeError, match="unknown retrieval_index 'lsh'"):
        evaluate_retrieval(hashed, folders, "lsh", progress=False)


def test_fewer_documents_than_are_asked_for() -> None:
    vectors = torch.eye(3)
    rows, scores = search_documents(vectors[:1], vectors, 100)
    assert rows.shape == (1, 3) and rows[0, 0] == 0 and scores[0].tolist() == [1, 0, 0]


def test_folders_are_read_packed_or_not_and_documents_have_titles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = load_retrieval_data(make_folder(tmp_path / "a"))
    packed = load_retrieval_data(make_folder(tmp_path / "b", packed=True))
    assert packed.documents == plain.documents and packed.gains == plain.gains
    assert plain.documents[1].startswith("dog ") and not plain.documents[0].startswith((" ", "dog dog"))
    assert "left out 1 queries without a relevant document" in caplog.text
    with caplog.at_level(logging.WARNING):
        path = tmp_path / "a" / "qrels" / "test.tsv"
        path.write_text(path.read_text() + "35\tnowhere\t1\n")
        more = load_retrieval_data(tmp_path / "a")
    assert "1 relevant documents are not in the corpus" in caplog.text and more.gains[-1] == {"nowhere": 1}


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("qrels/test.tsv", "77\td1\t1", "test.tsv, line 2: query-id '77' is not in queries.jsonl"),
        ("qrels/test.tsv", "1\td1\tgood", "line 2, column 'score': 'good' is not a whole number"),
        ("qrels/test.tsv", "1\td1\t0", "no query has a document with a score above 0"),
        ("qrels/test.tsv", "1\td1\t1\n1\td1\t2", "line 3: query '1' and document 'd1' were judged before"),
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}', "line 2: _id 'a' occurred before"),
        ("corpus.jsonl", '{"_id": "a", "text": 5}', "line 1, key 'text': expected text, got int"),
        ("queries.jsonl", '{"_id": null, "text": "x"}', "line 1, '_id': None is no id"),
    ],
)
def test_broken_files_are_refused_by_line(tmp_path: Path, file: str, line: str, message: str) -> None:
    folder = make_folder(tmp_path)
    (folder / file).write_text((HEADER if file.endswith(".tsv") else "") + line + "\n")
    with pytest.raises(DataError) as error:
        load_retrieval_data(folder)
    assert message in str(error.value)


def test_collections_are_found_in_a_folder_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("two", "one"):
        make_folder(tmp_path / "retrieval" / name)
    (tmp_path / "retrieval" / "other").mkdir()
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    assert list(resolve_retrieval_folders(None)) == ["one", "two"]
    assert list(resolve_retrieval_folders(str(tmp_path / "retrieval" / "two"))) == ["two"]
    with pytest.raises(DataError, match="no collection in BEIR's layout"):
        resolve_retrieval_folders(str(tmp_path / "retrieval" / "other"))
    monkeypatch.delenv("HF_CONTRASTIVE_DATA")
    with pytest.raises(DataError, match="retrieval_data: not set"):
        resolve_retrieval_folders(None)


def test_evaluate_prints_and_saves_the_table(tmp_path: Path, model: Path) -> None:
    for name in ("one", "two"):
        make_folder(tmp_path / "beir" / name, documents=90 if name == "one" else 120)
    given = [
        "evaluate",
        str(model),
        "--task",
        "retrieval",
        "--retrieval-data",
        str(tmp_path / "beir"),
        "--device",
        "cpu",
    ]
    scores = {}
    for index in ("exact", "flat"):
        output = tmp_path / f"{index}.json"
        done = CliRunner().invoke(
            app, [*given, "--output", str(output), "--retrieval-index", index], env={"COLUMNS": "250"}
        )
        assert done.exit_code == 0, done.output + str(done.exception)
        scores[index] = json.loads(output.read_text())["results"][0]["retrieval"]
        first = scores[index]["scores"]["one"]
        assert f"{100 * first['ndcg_at_10']:.2f}" in done.output and f"search: {index}" in done.output
        assert f"{100 * scores[index]['average']:.2f}" in done.output
    assert scores["exact"]["scores"] == scores["flat"]["scores"]
    assert scores["exact"]["scores"]["two"]["documents"] == 120


def test_scifact_has_its_published_size(shared_data: Path) -> None:
    data = load_retrieval_data(shared_data / "retrieval" / "scifact")
    assert (len(data.documents), len(data.queries), sum(map(len, data.gains))) == (5183, 300, 339)
    assert all(document for document in data.documents)
