"""`hf-contrastive search`: what comes out is what a loop over all vectors finds."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import sentence
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.retrieval.index import NeighbourIndex

CPU = ["--device", "cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """checkpoint/, corpus.jsonl (400 texts with ids), queries.tsv (30), vectors/ that `encode` wrote of the corpus."""
    folder = tmp_path_factory.mktemp("search")
    torch.manual_seed(0)
    save_tiny_checkpoint(folder / "checkpoint")
    rng = random.Random(2)
    texts = [f"{sentence(rng)} {sentence(rng)}" for _ in range(400)]
    texts[7] = "a\tman \n sits"
    rows = [{"_id": f"d{n}", "title": "dog", "text": text} for n, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    queries = "".join(f"q{n}\t{sentence(rng)}\n" for n in range(30))
    (folder / "queries.tsv").write_text(f"key\tquery\n{queries}", encoding="utf-8")
    encode(folder / "corpus.jsonl", folder / "checkpoint", "--output", folder / "vectors", "--id-column", "_id")
    return folder


def encode(*given: object) -> None:
    done = CliRunner().invoke(app, ["encode", *map(str, given), *CPU, "--shard-size", "90"])
    assert done.exit_code == 0, done.output + str(done.exception)


def search(*given: object, typed: str | None = None) -> Any:
    return CliRunner().invoke(app, ["search", *map(str, given), *CPU], env={"COLUMNS": "300"}, input=typed)


def found(*given: object) -> Any:
    done = search(*given)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done


def refused(*given: object) -> str:
    done = search(*given)
    assert isinstance(done.exception, SystemExit) and done.exit_code != 0, done.exception
    return str(done.exception)


def expected(place: Path, k: int) -> list[tuple[str, int, str, float]]:
    """Query, rank, id, cosine by a loop in float64."""
    texts = [json.loads(line)["text"] for line in (place / "corpus.jsonl").read_text().splitlines()]
    queries = [line.split("\t")[1] for line in (place / "queries.tsv").read_text().splitlines()[1:]]
    encoder = SentenceEncoder.from_pretrained(str(place / "checkpoint"))
    documents, asked = (encoder.encode(part, normalize=True).double().numpy() for part in (texts, queries))
    out = []
    for number, query in enumerate(asked):
        scores = [float(query @ document) for document in documents]
        best = sorted(range(len(texts)), key=lambda row: -scores[row])[:k]
        out += [(f"q{number}", rank, f"d{row}", scores[row]) for rank, row in enumerate(best, start=1)]
    return out


def rows_of(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in lines]
    header = lines[0].split("\t")
    rows = [dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]]
    return [{**row, "rank": int(row["rank"]), "score": float(row["score"])} for row in rows]


def check(rows: list[dict[str, Any]], wanted: list[tuple[str, int, str, float]]) -> None:
    assert [(row["query"], row["rank"]) for row in rows] == [row[:2] for row in wanted]
    np.testing.assert_allclose([row["score"] for row in rows], [row[3] for row in wanted], atol=2e-6)
    same = [row["id"] == other[2] for row, other in zip(rows, wanted, strict=True)]
    assert np.mean(same) > 0.97  # texts that the tokeniser takes for the same come in any order


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".parquet"])
def test_batch_search_over_encoded_texts_is_the_loop(place: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"found{suffix}"
    given = ["--queries", place / "queries.tsv", "--query-column", "query", "--query-id-column", "key"]
    found(place / "vectors", *given, "--output", output, "--k", 5)
    rows = rows_of(output)
    check(rows, expected(place, 5))
    assert list(rows[0]) == ["query", "query_text", "rank", "id", "score", "text"]
    texts = {row["_id"]: row["text"] for row in map(json.loads, (place / "corpus.jsonl").read_text().splitlines())}
    for row in rows:
        text = texts[row["id"]]
        assert row["text"] == (" ".join(text.split()) if suffix == ".tsv" else text)


@pytest.mark.parametrize("index", ["flat", "ivf", "hnsw"])
def test_texts_that_are_not_encoded_yet_are_encoded_first(place: Path, tmp_path: Path, index: str) -> None:
    output = tmp_path / "found.jsonl"
    breadth = {"flat": [], "ivf": ["--nprobe", 1000], "hnsw": ["--ef-search", 400]}[index]
    corpus = [place / "corpus.jsonl", "--column", "text", "--id-column", "_id", "--model", place / "checkpoint"]
    given = ["--queries", place / "queries.tsv", "--query-column", "query", "--query-id-column", "key"]
    found(*corpus, *given, "--output", output, "--index", index, *breadth)
    check(rows_of(output), expected(place, 10))


def test_an_index_is_kept_beside_the_vectors_and_built_anew_when_they_change(place: Path, tmp_path: Path) -> None:
    encode(place / "queries.tsv", place / "checkpoint", "--output", tmp_path / "q.npy", "--column", "query")
    file = tmp_path / "v.parquet"
    encode(place / "corpus.jsonl", place / "checkpoint", "--output", file, "--no-text")
    given = [file, "--queries", tmp_path / "q.npy", "--output", tmp_path / "f.parquet", "--index", "hnsw", "--k", 3]
    found(*given)
    first, index = rows_of(tmp_path / "f.parquet"), tmp_path / "v.parquet.hnsw.faiss"
    assert list(first[0]) == ["query", "rank", "id", "score"] and len(first) == 90
    assert [(row["query"], row["rank"]) for row in first[:4]] == [(0, 1), (0, 2), (0, 3), (1, 1)]
    wanted = expected(place, 3)
    assert np.mean([f"d{row['id']}" == other[2] for row, other in zip(first, wanted, strict=True)]) > 0.9
    stamp = index.stat().st_mtime_ns
    found(*given)
    assert index.stat().st_mtime_ns == stamp and rows_of(tmp_path / "f.parquet") == first
    index.write_bytes(b"nothing")
    assert "no index that FAISS can read; delete it to build it anew" in refused(*given)
    file.unlink()
    (tmp_path / "v.parquet.json").unlink()
    short = tmp_path / "short.jsonl"
    short.write_text("".join((place / "corpus.jsonl").read_text().splitlines(keepends=True)[:50]))
    encode(short, place / "checkpoint", "--output", file, "--no-text")
    found(*given)
    assert max(row["id"] for row in rows_of(tmp_path / "f.parquet")) < 50


def test_an_index_that_cannot_be_kept_is_searched_all_the_same(place: Path, tmp_path: Path, monkeypatch) -> None:
    def save(self: NeighbourIndex, path: Path) -> None:
        path.with_name(f"{path.name}.partial").write_bytes(b"half")
        raise RuntimeError("could not open for writing: Read-only file system")  # what FAISS raises

    file = tmp_path / "v.npy"
    encode(place / "corpus.jsonl", place / "checkpoint", "--output", file, "--column", "text")
    encode(place / "queries.tsv", place / "checkpoint", "--output", tmp_path / "q.npy", "--column", "query")
    given = [file, "--queries", tmp_path / "q.npy", "--index", "hnsw", "--k", 3, "--output"]
    found(*given, tmp_path / "kept.jsonl")
    (tmp_path / "v.npy.hnsw.faiss").unlink()
    monkeypatch.setattr(NeighbourIndex, "save", save)
    found(*given, tmp_path / "not_kept.jsonl")
    assert rows_of(tmp_path / "not_kept.jsonl") == rows_of(tmp_path / "kept.jsonl")
    assert not list(tmp_path.glob("*.faiss*"))


def test_questions_are_asked_until_an_empty_line(place: Path) -> None:
    texts = [json.loads(line)["text"] for line in (place / "corpus.jsonl").read_text().splitlines()]
    done = search(place / "vectors", "--k", 2, typed=f"{texts[11]}\n{texts[12]}\n\nnever asked\n")
    assert done.exit_code == 0, done.output
    assert "400 texts" in done.output and done.output.count("1.0000") >= 2
    assert "d11" in done.output and "d12" in done.output and done.output.count("rank") == 2
    done = search(place / "vectors", "--k", 2, typed=f"{texts[11]}\n")  # the input ends
    assert done.exit_code == 0 and done.output.count("rank") == 1


def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = save_tiny_checkpoint(tmp_path / "other")
    np.save(tmp_path / "narrow.npy", np.ones((3, 5), np.float32))
    np.save(tmp_path / "flat.npy", np.ones(5, np.float32))
    np.save(tmp_path / "same.npy", np.ones((3, 32), np.float32))
    lost = np.ones((3, 32), np.float32)
    lost[1, 5] = np.nan
    np.save(tmp_path / "lost.npy", lost)
    cells = pa.FixedSizeListArray.from_arrays(pa.array(lost.ravel()), 32)
    pq.write_table(pa.table({"vector": cells}), tmp_path / "lost.parquet")
    vectors, queries = place / "vectors", ["--queries", place / "queries.tsv", "--output", tmp_path / "f.tsv"]
    for given, message in (
        ([vectors, "--model", other], "differ in model (BertModel "),
        ([vectors, "--pooler", "cls"], "differ in pooler (avg -> cls)"),
        ([vectors, "--column", "text"], "columns: "),
        ([vectors, *queries[:2]], "queries: and output go together"),
        ([vectors, *queries], "do not say which holds the text; name it with --column"),
        ([vectors, *queries[:3], tmp_path / "f.csv"], "is none of *.tsv, *.jsonl, *.parquet"),
        ([vectors, "--query-column", "query"], "query_columns: needs queries"),
        ([vectors, "--index", "lsh"], "unknown index 'lsh'; choose one of auto, flat, ivf, hnsw"),
        ([vectors, "--nprobe", "3", "--index", "flat"], "nprobe: belongs to index ivf"),
        ([vectors, "--ef-search", "3"], "ef_search: belongs to index hnsw"),
        ([vectors, "--k", "0"], "k: must be positive"),
        ([tmp_path / "same.npy"], "nothing says which model the vectors are from; give --model"),
        ([tmp_path / "narrow.npy", "--model", other], "vectors of 5 numbers, where the model has 32"),
        ([tmp_path / "flat.npy", "--model", other], "is not vectors [N, D]"),
        ([vectors, "--queries", tmp_path / "narrow.npy", *queries[2:]], "where the corpus has 32"),
        ([vectors, "--queries", tmp_path / "same.npy", *queries[2:], "--bf16"], "encoded already; leave it out"),
        ([tmp_path], "a folder without vectors.parquet"),
        ([tmp_path / "lost.npy", "--model", other], "lost.npy, row 1 (counted from 0): its vector is not finite"),
        ([tmp_path / "lost.parquet", "--model", other], "lost.parquet, row 1 (counted from 0): its vector is not fin"),
        ([vectors, "--queries", tmp_path / "lost.npy", *queries[2:]], "lost.npy, row 1 (counted from 0): its vector"),
        ([tmp_path / "nothing.txt", "--model", other], "no such file"),
    ):
        assert message in refused(*given), given
    assert not (tmp_path / "f.tsv").exists()


def test_the_model_of_the_vectors_is_loaded_at_their_revision(place: Path, tmp_path: Path, monkeypatch) -> None:
    encode(place / "corpus.jsonl", place / "checkpoint", "--output", tmp_path / "v.npy", "--revision", "v2")
    asked = []
    load = SentenceEncoder.from_pretrained

    def from_pretrained(*given: Any, **options: Any) -> SentenceEncoder:
        asked.append(options["revision"])
        return load(*given, **options)

    monkeypatch.setattr(SentenceEncoder, "from_pretrained", from_pretrained)
    for options in ([], ["--revision", "v3"], ["--model", place / "checkpoint"]):
        assert search(tmp_path / "v.npy", *options, typed="\n").exit_code == 0
    assert asked == ["v2", "v3", "main"]
