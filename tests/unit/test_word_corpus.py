"""Corpora of word ids, against a plain Python loop; what is left out and what is refused."""

import gzip
import json
import logging
import random
from pathlib import Path

import numpy as np
import pytest
from datasets import IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st
from word_corpora import load, reference, sentences

from hf_contrastive.data import texts, word_encoding, word_tokenizers
from hf_contrastive.data.texts import find_texts
from hf_contrastive.errors import DataError, RecipeError


def random_lines(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    letters = ["a", "b", "B", "é", "1", "-", " ", " ", "\t", "\u3000"]
    return ["".join(rng.choices(letters, k=rng.randrange(60))) for _ in range(count)]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["text8", "words", "whitespace"]),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([None, 2, 20]),
    st.sampled_from([(1 << 20, 1 << 22), (7, 5), (40, 3)]),
)
def test_corpus_equals_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, seed: int, tokenizer: str, min_count: int, most: int | None, sizes: tuple
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    lines = [random_lines(seed, 40), random_lines(seed + 1, 30), random_lines(seed + 2, 1)]
    (folder / "one.txt").write_text("\n".join(lines[0]) + "\n", encoding="utf-8")
    (folder / "two.txt.gz").write_bytes(gzip.compress("\r\n".join(lines[1]).encode()))
    rows = [{"text": line, "id": 1} for line in lines[2]]
    (folder / "three.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ", ".join(str(folder / name) for name in ("one.txt", "two.txt.gz", "three.jsonl"))
    entries, wanted, total = reference(sum(lines, []), tokenizer, min_count, most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_encoding, "_PIECE", sizes[0])
        patch.setattr(word_encoding, "_BLOCK", sizes[1])
        corpus = load(files, folder / "cache", tokenizer=tokenizer, min_count=min_count, max_vocabulary=most)
    vocabulary = corpus.vocabulary
    assert list(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == entries
    assert vocabulary.total == total
    assert sentences(corpus) == wanted
    assert (corpus.ids.dtype, corpus.starts.dtype) == (np.int32, np.int64)
    assert isinstance(corpus.ids, np.memmap) and isinstance(corpus.starts, np.memmap)


def test_lines_of_a_cell_are_sentences(tmp_path: Path) -> None:
    rows = [{"text": "a b\n\nb c\n"}, {"text": None}, {"text": "c a"}, {"text": " "}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = load(tmp_path / "x.jsonl", tmp_path / "cache", min_count=1)
    assert sentences(corpus) == [["a", "b"], ["b", "c"], ["c", "a"]]


def test_long_lines_stay_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_texts = []
    monkeypatch.setitem(word_tokenizers._REGISTRY, "spy", lambda text: given_texts.append(text) or text.split())
    monkeypatch.setattr(word_encoding, "_PIECE", 50)
    line = " ".join(f"w{number}" for number in range(100))
    (tmp_path / "x.txt").write_text(f"{line}\nw1 w2\n{'x' * 200}\n")
    corpus = load(tmp_path / "x.txt", tmp_path / "cache", tokenizer="spy", min_count=1)
    assert sentences(corpus) == [line.split(), ["w1", "w2"], ["x" * 200]]
    assert max(map(len, given_texts[:-1])) < 60


def test_a_folder_is_the_files_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "texts, all"
    (folder / "inner").mkdir(parents=True)
    for name, text in {"b.txt": "b b", "a.txt": "a a", "README.md": "x x", ".hidden.txt": "y y"}.items():
        (folder / name).write_text(text)
    with caplog.at_level(logging.INFO):
        assert sentences(load(folder, tmp_path / "cache", min_count=1)) == [["a", "a"], ["b", "b"]]
    assert f"{folder}: 2 folders and files of other formats are not looked at" in caplog.messages
    assert f"{folder}: text of a.txt, b.txt" in caplog.messages
    globbed = load(f"{tmp_path}/texts*/*.txt,{tmp_path}/texts*/b.txt", tmp_path / "cache", min_count=1)
    assert sentences(globbed) == [["a", "a"], ["b", "b"], ["b", "b"]]


def test_what_is_left_out_is_logged_also_from_the_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.txt"
    path.write_text("...\na a b\n--\n\nc c b d\na a e\nd d\ne\n")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            load(path, tmp_path / "cache", min_count=2, max_vocabulary=3)
        assert [message for message in caplog.messages if "skipped" not in message][-2:] == [
            f"{path}: 13 running words, 5 distinct; vocabulary of 3 words, 9 of them running in 4 sentences",
            f"{path}: left out: 2 words beyond max_vocabulary = 3 (4 occurrences), 2 lines without a word, "
            f"1 sentences with no word of the vocabulary",
        ]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        load(path, tmp_path / "cache", min_count=3)
    assert f"{path}: skipped 1 blank lines" in caplog.messages
    assert "3 words that occur less than min_count = 3 times (6 occurrences)" in caplog.messages[-1]


def test_rows_beyond_max_rows_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"a b\n\nb c\n\xff\n")
    assert sentences(load(tmp_path / "x.txt", tmp_path / "cache", min_count=1, max_rows=2)) == [["a", "b"], ["b", "c"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("y.txt", b"a\n", r"x\.txt: no such file; did you mean .*y\.txt"),
        ("x.txt", b"a b\n\xff\n", r"x\.txt, line 2: byte 0xff at offset 4 is not UTF-8"),
        ("x.txt.gz", gzip.compress(b"a b\n" * 99, mtime=0)[:-9], r"x\.txt\.gz: cannot be read .*; restore"),
        ("x.txt", b"", r"x\.txt: no rows; fill the file"),
        ("x.txt", b"...\n--\n", r"x\.txt: there is no word in it by the rule of its word tokenizer; choose another"),
        ("x.txt", b"a a b\n", r"x\.txt: of 2 distinct words 1 occur min_count = 2 times or more.*lower min_count"),
        ("x.tsv", b"id\tbody\n1\ta\n", r"x\.tsv: no column 'text'; the columns are 'id', 'body'; rename"),
        ("x.jsonl", b'{"text": 3}\n', r"x\.jsonl, line 1, column 'text': expected text, got int 3"),
        ("x.bin", b"a\n", r"x\.bin: format not known; name it after what it holds"),
    ],
)
def test_unusable_text_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(tmp_path / name.replace("y", "x"), tmp_path / "cache", min_count=2)
    assert not any(entry.is_dir() for entry in tmp_path.glob("cache/*"))


def test_folders_without_text_and_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(DataError, match="no file of a known format in it; name them one of .txt"):
        load(tmp_path, tmp_path / "cache")
    with pytest.raises(DataError, match="train_data: names nothing"):
        load(" ,", tmp_path / "cache")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 0}, "min_count: must be at least 1, got 0"),
        ({"max_vocabulary": 1}, "max_vocabulary: must be at least 2, got 1"),
        ({"max_rows": 0}, "max_rows: must be at least 1, got 0"),
        ({"tokenizer": "word"}, "did you mean 'words'"),
    ],
)
def test_settings_out_of_range_are_refused_before_reading(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path / "no such file.txt", tmp_path / "cache", **options)


def test_hub_datasets_are_streamed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple] = []
    rows = [{"id": 1, "text": "a b"}, {"id": 2, "text": ""}, {"id": 3, "text": "b\na"}]

    def double(*names: str | None, **options: object) -> IterableDataset:
        asked.append((*names, options))
        return IterableDataset.from_generator(lambda: iter(rows))

    monkeypatch.setattr(texts, "load_dataset", double)
    options = {"train_data_name": "en", "train_split": "test", "min_count": 1}
    for _ in range(2):
        assert sentences(load("some/corpus", tmp_path, **options)) == [["a", "b"], ["b"], ["a"]]
    assert asked == [("some/corpus", "en", {"split": "test", "streaming": True})]
    load("some/corpus", tmp_path, **options | {"train_data_name": "de"})
    assert len(asked) == 2
    rows[0] = {"body": "a"}
    with pytest.raises(DataError, match="some/other: no column 'text'; the columns are 'body'"):
        load("some/other", tmp_path)


def test_a_dataset_the_hub_does_not_give_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object, **options: object) -> None:
        raise FileNotFoundError("not there\nsecond line")

    monkeypatch.setattr(texts, "load_dataset", refuse)
    with pytest.raises(
        DataError, match=r"'some/corpus' is no local file, .* \(FileNotFoundError: not there\); correct"
    ):
        load("some/corpus", tmp_path)


def test_progress_knows_how_much_text_there_is(tmp_path: Path) -> None:
    text = "the same words ü\n" * 300
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.tsv").write_text("text\nx\n")
    (tmp_path / "d.txt.gz").write_bytes(b"")
    source = find_texts(f"{tmp_path}/a.txt,{tmp_path}/b.txt.gz")
    reader = word_encoding._Reader(source)
    assert sum(len(part) for part, _ in reader.batches()) == reader.rows == 600
    assert source.size() == reader.bytes + 2 == 2 * len(text.encode()) + 2
    assert find_texts(f"{tmp_path}/c.tsv").size() is None
    assert find_texts(str(tmp_path)).size() is None
    assert find_texts(f"{tmp_path}/d.txt.gz").size() == 1


@pytest.mark.shared
def test_the_brown_corpus_has_its_published_size(shared_data: Path, tmp_path: Path) -> None:
    corpus = load(shared_data / "words/brown.txt.gz", tmp_path, tokenizer="whitespace", min_count=1)
    assert corpus.vocabulary.total == len(corpus.ids) == 1_161_192
    assert len(corpus.starts) - 1 == 57_340
    assert np.array_equal(np.bincount(corpus.ids), corpus.vocabulary.counts)
