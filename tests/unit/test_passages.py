"""Texts with ids: which columns, joined how, and what is refused."""

import json
import logging
from pathlib import Path

import pytest
from datasets import Dataset

from hf_contrastive.data import load_passages, loading
from hf_contrastive.errors import DataError

ROWS = [
    {"_id": 7, "title": "A", "text": "one two"},
    {"_id": "b", "title": " ", "text": "three"},
    {"_id": "c", "title": "C", "text": "four"},
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_a_text_file_has_a_row_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.txt"
    path.write_text(" one\n\ntwo \n")
    with caplog.at_level(logging.INFO, "hf_contrastive"):
        data = load_passages(str(path))
    assert data.to_dict() == {"text": [" one", "two "]} and "skipped 1 blank lines" in caplog.text


def test_columns_are_recognised_or_joined_and_ids_are_text(corpus: Path) -> None:
    assert load_passages(str(corpus)).to_dict() == {"text": ["one two", "three", "four"]}
    joined = load_passages(str(corpus), ["title", "text"], "_id")
    assert joined.to_dict() == {"id": ["7", "b", "c"], "text": ["A one two", "three", "C four"]}


def test_the_only_column_beside_the_id_is_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("key\tbody\nx\tone\ny\ttwo\n")
    assert load_passages(str(path), id_column="key").to_dict() == {"id": ["x", "y"], "text": ["one", "two"]}
    with pytest.raises(DataError, match="'key', 'body' do not say which holds the text; name it with --column"):
        load_passages(str(path))


def test_a_changed_file_is_read_anew_and_only_the_first_rows_if_so_wanted(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(load_passages(str(corpus))) == 3
    corpus.write_text(corpus.read_text() + '{"_id": "d", "text": "five"}\n')
    with caplog.at_level(logging.INFO, "hf_contrastive"):
        assert load_passages(str(corpus), max_rows=2)["text"][:] == ["one two", "three"]
    assert "max_rows: the first 2 rows are used, 2 are left out" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "d", "text": " "}', "corpus.jsonl, line 4, column 'text': empty cell"),
        ('{"_id": "d", "text": 5}', "line 4, column 'text': expected text, got int"),
        ('{"text": "five"}', "line 4, column '_id': empty cell"),
        ('{"_id": [1], "text": "five"}', "line 4, column '_id': expected text, got list"),
        ('{"_id": "7", "text": "five"}', "id '7' of row 3 is that of row 0 too"),
    ],
)
def test_a_row_without_text_or_id_is_refused_by_its_line(corpus: Path, line: str, message: str) -> None:
    corpus.write_text(corpus.read_text() + line + "\n")
    with pytest.raises(DataError) as error:
        load_passages(str(corpus), ["text"], "_id")
    assert message in str(error.value)


def test_a_column_that_is_not_there_is_refused(corpus: Path) -> None:
    for options in ({"columns": ["texts"]}, {"id_column": "id"}):
        with pytest.raises(DataError, match="no column"):
            load_passages(str(corpus), **options)


def test_a_file_has_no_configurations(corpus: Path) -> None:
    with pytest.raises(DataError, match="which has no configurations"):
        load_passages(str(corpus), data_name="en")


def test_a_hub_dataset_is_checked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def load_dataset(name: str, config: str | None, **options: object) -> Dataset:
        asked.update(name=name, config=config, **options)
        return Dataset.from_list([{"n": n, "body": text, "more": 0} for n, text in ((1, "one"), (2, "two"))])

    monkeypatch.setattr(loading, "load_dataset", load_dataset)
    data = load_passages("someone/texts", ["body"], "n", data_name="en", split="dev")
    assert data.to_dict() == {"id": ["1", "2"], "text": ["one", "two"]}
    assert (asked["name"], asked["config"], asked["split"]) == ("someone/texts", "en", "dev")
    monkeypatch.setattr(loading, "load_dataset", lambda *a, **k: Dataset.from_list([{"body": "one"}, {"body": ""}]))
    with pytest.raises(DataError, match=r"someone/texts, row 1 \(counted from 0\), column 'body': empty cell"):
        load_passages("someone/texts")
