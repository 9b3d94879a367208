import gzip
import json

import numpy as np
import pytest
from datasets import Dataset

from hf_contrastive.arguments import EvaluationArguments
from hf_contrastive.errors import DataError
from hf_contrastive.evaluation import (
    load_sts_pairs,
    resolve_dev_source,
    resolve_sts_source,
    resolve_transfer_folder,
)
from hf_contrastive.evaluation.sources import HubSplit

HEADER = b"subset\tscore\tsentence1\tsentence2\n"


def test_rows_are_read_as_they_stand(tmp_path):
    # A lone quote, line separators that are not line ends, Windows line ends, a byte order mark, no last line end.
    path = tmp_path / "pairs.tsv"
    rows = 'S\t0\t"open quote\tone\u2028two\r\nS\t4.5\ta\rb\tx\x85y'
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.replace(b"\n", b"\r\n") + rows.encode())
    pairs = load_sts_pairs(path)
    assert pairs.sentence1 == ['"open quote', "a\rb"]
    assert pairs.sentence2 == ["one\u2028two", "x\x85y"]
    assert pairs.scores.dtype == np.float64 and pairs.scores.tolist() == [0.0, 4.5]
    assert pairs.subsets == ["S", "S"]


def test_the_subset_is_optional_and_other_columns_are_ignored(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("sentence2\tlabel\tscore\tsentence1\nb\tX\t1\ta\nd\tY\t2\tc\n")
    pairs = load_sts_pairs(path)
    assert (pairs.sentence1, pairs.sentence2, pairs.subsets) == (["a", "c"], ["b", "d"], ["", ""])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"score\tsentence1\n1\ta\n", "line 1: no column sentence2 among score, sentence1; add or rename"),
        (HEADER + b"S\t1\ta\tb\nS\t2\ta\n", "line 3: 3 columns where the header has 4; columns are separated by tabs"),
        (HEADER + b"S\t1\ta\tb\n\nS\t2\ta\tb\n", "line 3: 1 columns where the header has 4"),
        (HEADER + b"S\t1\ta\tb\nS\thigh\ta\tb\n", "line 3: score 'high' is not a number; drop the row"),
        (HEADER + b"S\tnan\ta\tb\n", "line 2: score 'nan' is not a number"),
        (HEADER + b"S\t\ta\tb\n", "line 2: score '' is not a number"),
        (HEADER + b"S\t1\ta\t \n", "line 2: sentence2 is empty; drop the row or fill it in"),
        (HEADER + b"S\t1\tcaf\xe9\tb\n", "not UTF-8 at byte 40; convert it"),
        (HEADER + b"S\t1\ta\tb\nS\t1\tc\td\n", "2 rows hold fewer than 2 different scores"),
        (HEADER, "0 rows hold fewer than 2 different scores"),
        (b"", "line 1: no column score, sentence1, sentence2"),
    ],
)
def test_what_cannot_be_used_is_named_with_file_line_and_remedy(tmp_path, content, message):
    path = tmp_path / "bad.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_sts_pairs(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="gone.tsv: no such file; it must be a TSV"):
        load_sts_pairs(tmp_path / "gone.tsv")


def test_a_hub_dataset_that_cannot_be_had_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be loaded from the Hub .* set sts_data or dev_data"):
        load_sts_pairs(HubSplit(str(tmp_path), "test"))


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("sts", "transfer"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    return tmp_path


def test_a_named_folder_comes_before_the_variable(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    assert resolve_sts_source(str(other)) == other
    assert resolve_transfer_folder(str(other)) == other
    assert resolve_sts_source(None) == root / "sts"
    assert resolve_transfer_folder(None) == root / "transfer"


def test_without_a_folder_sts_is_the_hub_and_transfer_an_error(monkeypatch):
    monkeypatch.delenv("HF_CONTRASTIVE_DATA", raising=False)
    assert resolve_sts_source(None) is None
    with pytest.raises(DataError, match="transfer_data: not set, .* get_transfer_data.bash"):
        resolve_transfer_folder(None)


def test_a_folder_that_is_not_there_is_never_replaced_by_another_source(root):
    with pytest.raises(DataError, match="sts_data: no folder /nowhere"):
        resolve_sts_source("/nowhere")
    (root / "sts").rmdir()
    with pytest.raises(DataError, match="HF_CONTRASTIVE_DATA: .* has no folder sts; set sts_data"):
        resolve_sts_source(None)


def test_the_dev_set_is_named_or_in_the_sts_folder_or_on_the_hub(root, monkeypatch):
    own = root / "own.tsv"
    own.touch()
    assert resolve_dev_source(EvaluationArguments(dev_data=str(own))) == own
    assert resolve_dev_source(EvaluationArguments()) == root / "sts" / "STSB-dev.tsv"
    with pytest.raises(DataError, match="dev_data: no file"):
        resolve_dev_source(EvaluationArguments(dev_data=str(root / "gone.tsv")))
    monkeypatch.delenv("HF_CONTRASTIVE_DATA")
    assert resolve_dev_source(EvaluationArguments()) == HubSplit("mteb/stsbenchmark-sts", "validation")


ROWS = [{"sentence1": "犬が走る", "sentence2": "a, b", "label": 1.5}, {"sentence1": "c", "sentence2": "d", "label": 3}]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".jsonl.gz", ".csv", ".parquet", ".tsv", ".tsv.gz"])
def test_other_tables_and_a_label_for_the_score(tmp_path, suffix):
    path = tmp_path / f"pairs{suffix}"
    if suffix == ".parquet":
        Dataset.from_list(ROWS).to_parquet(path)
    else:
        separator = "," if suffix == ".csv" else "\t"
        quote = '"' if suffix == ".csv" else ""
        table = [separator.join(ROWS[0])] + [
            separator.join([r["sentence1"], f"{quote}{r['sentence2']}{quote}", str(r["label"])]) for r in ROWS
        ]
        lines = [json.dumps(row, ensure_ascii=False) for row in ROWS] if "json" in suffix else table
        text = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    pairs = load_sts_pairs(path)
    assert (pairs.sentence1, pairs.sentence2) == (["犬が走る", "c"], ["a, b", "d"])
    assert pairs.scores.tolist() == [1.5, 3.0] and pairs.subsets == ["", ""]


def test_a_score_comes_before_a_label(tmp_path):
    rows = [{**row, "score": number, "subset": "S"} for number, row in enumerate(ROWS)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = load_sts_pairs(tmp_path / "a.jsonl")
    assert pairs.scores.tolist() == [0, 1] and pairs.subsets == ["S", "S"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"sentence1": "a", "label": 1}\n', "a.json: no column sentence2 among sentence1, label; add"),
        ("a.json", '{"sentence1": "a", "sentence2": "b"}\n', "a.json: no column score among sentence1, sentence2"),
        (
            "a.jsonl",
            '{"sentence1": "a", "sentence2": "b", "label": 1}\n{"sentence1": "a"}\n',
            "a.jsonl, line 2: score",
        ),
        ("a.csv", "score,sentence1,sentence2\n1,a,b\nx,c,d\n", "a.csv, line 3: score 'x' is not a number"),
        ("a.json", "nothing\n", "a.json, line 1: not JSON"),
        ("a.txt.gz", "", "a.txt.gz: a text file has no columns; give a table with score, sentence1, sentence2"),
        ("no/a.json", None, "a.json: no such file"),
    ],
)
def test_what_is_wrong_with_other_tables(tmp_path, name, text, message):
    if text is not None:
        data = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(DataError, match=message):
        load_sts_pairs(tmp_path / name)
