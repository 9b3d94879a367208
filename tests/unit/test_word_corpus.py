"""Word tokenisers, vocabularies, and corpora of word ids, each against a plain Python loop."""

import gzip
import json
import logging
import os
import random
import re
import threading
import unicodedata
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from datasets import IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_contrastive.data import (
    Vocabulary,
    WordCorpus,
    load_word_corpus,
    register_word_tokenizer,
    texts,
    word_corpus,
    word_encoding,
    word_tokenizer,
    word_tokenizers,
)
from hf_contrastive.data.texts import find_texts
from hf_contrastive.errors import DataError, RecipeError

DIGITS = "zero one two three four five six seven eight nine".split()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("text8", "In 1984, B2B isn't", "in one nine eight four b two b isn t"),
        ("text8", "2006 a.d.", "two zero zero six a d"),
        ("text8", "naïve CAFÉ_Über \u212a 東京 ١", "na ve caf ber"),  # no letter beyond ASCII becomes one of a-z
        ("text8", "half\ud800pair tab\tline\x00end\x85", "half pair tab line end"),
        ("text8", " \n", ""),
        ("words", "Straße ÉCOLE e\u0301 don't, x²_y", "straße école e\u0301 don t x y"),
        ("words", "ПРИВЕТ 東京2024年 नमस्ते ٣ Ⅷ", "привет 東京 年 नमस्ते"),
        ("words", "7 !", ""),
        ("whitespace", " The U.S. ,\u3000`` 1984 ''\n", "The U.S. , `` 1984 ''"),
    ],
)
def test_tokenizers_by_example(name: str, text: str, words: str) -> None:
    assert word_tokenizer(name)(text) == words.split()


@given(st.text())
def test_text8_is_wikifil_rule(text: str) -> None:
    lower = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
    spelt = re.sub("[0-9]", lambda digit: f" {DIGITS[int(digit[0])]} ", lower)
    assert word_tokenizer("text8")(text) == re.findall("[a-z]+", spelt)


@given(st.text())
def test_words_are_runs_of_letters_and_marks(text: str) -> None:
    runs = groupby(text.lower(), key=lambda c: unicodedata.category(c)[0] in "LM")
    assert word_tokenizer("words")(text) == ["".join(run) for is_word, run in runs if is_word]


def test_tokenizers_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_tokenizers, "_REGISTRY", dict(word_tokenizers._REGISTRY))
    with pytest.raises(RecipeError, match="unknown word tokenizer 'text9'; did you mean 'text8'"):
        word_tokenizer("text9")
    with pytest.raises(RecipeError, match="'qqq'; choose from text8, whitespace, words"):
        word_tokenizer("qqq")
    register_word_tokenizer("letters")(list)
    assert word_tokenizer("letters")("ab") == ["a", "b"]
    register_word_tokenizer("letters")(list)
    with pytest.raises(ValueError, match="'letters' is registered already"):
        register_word_tokenizer("letters")(str.split)


COUNTED = {"rare": 1, "b": 3, "zebra": 2, "é": 3, "a": 3, "apple": 2, "the": 9}


@pytest.mark.parametrize(
    ("min_count", "most", "words"),
    [
        (1, None, "the a b é apple zebra rare"),
        (2, None, "the a b é apple zebra"),
        (2, 5, "the a b é apple"),  # a cap cuts inside a tie
        (3, 9, "the a b é"),
        (10, None, ""),
    ],
)
def test_vocabulary_is_ordered_by_count_then_alphabet(min_count: int, most: int | None, words: str) -> None:
    names, counts = list(COUNTED), np.array(list(COUNTED.values()))
    vocabulary, order = Vocabulary.choose(names, counts, min_count, most)
    assert vocabulary.words == words.split() == [names[place] for place in order]
    assert vocabulary.counts.tolist() == [COUNTED[word] for word in vocabulary.words]
    assert vocabulary.counts.dtype == np.int64
    assert vocabulary.total == 23 and len(vocabulary) == len(words.split())
    assert vocabulary.index == {word: place for place, word in enumerate(words.split())}


def test_vocabulary_round_trip(tmp_path: Path) -> None:
    Vocabulary(["the", "東京", "#"], np.array([2**40, 7, 7]), 2**41).save(tmp_path)
    assert (tmp_path / "vocab.tsv").read_bytes() == "the\t1099511627776\n東京\t7\n#\t7\n".encode()
    assert json.loads((tmp_path / "vocab_total.json").read_text()) == {"total": 2**41}
    loaded = Vocabulary.load(tmp_path)
    assert (loaded.words, loaded.counts.tolist(), loaded.total) == (["the", "東京", "#"], [2**40, 7, 7], 2**41)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vocab.tsv", "vocab_total.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\t2\nb 1\n", r"vocab.tsv, line 2: expected word<TAB>count, got 'b 1'; restore"),
        ("a\t2\nb\tx\n", r"vocab.tsv, line 2: expected word<TAB>count, got 'b\\tx'"),
        ("\t2\n", r"line 1: expected word<TAB>count"),
        ("a\t2\nb\t1", r"vocab.tsv, line 2: ends without a line feed"),
        ("a\t2\nb\t1\na\t1\n", r"vocab.tsv: word 'a' occurs twice"),
        (None, r"vocab.tsv or vocab_total.json cannot be read"),
    ],
)
def test_damaged_vocabularies_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    Vocabulary(["a"], np.array([1]), 1).save(tmp_path)
    (tmp_path / "vocab.tsv").unlink() if content is None else (tmp_path / "vocab.tsv").write_text(content)
    with pytest.raises(DataError, match=message):
        Vocabulary.load(tmp_path)


@pytest.mark.parametrize("word", ["a b", "a\t", "", "\u2028"])
def test_words_with_white_space_are_not_written(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match="empty or with white space"):
        Vocabulary([word], np.array([1]), 1).save(tmp_path)
    with pytest.raises(ValueError, match="1 words do not fit 2 counts"):
        Vocabulary([word], np.array([1, 2]), 1)


def load(train_data: str | Path, cache: Path, **options) -> WordCorpus:
    return load_word_corpus(str(train_data), cache_dir=cache, **options)


def sentences(corpus: WordCorpus) -> list[list[str]]:
    ids = [corpus.ids[a:b].tolist() for a, b in zip(corpus.starts[:-1], corpus.starts[1:], strict=True)]
    return [[corpus.vocabulary.words[number] for number in sentence] for sentence in ids]


def reference(lines: list[str], tokenizer: str, min_count: int, most: int | None) -> tuple[list, list, int]:
    """Vocabulary, sentences and running words by a plain loop."""
    split = [word_tokenizer(tokenizer)(line) for line in lines]
    counts = Counter(word for words in split for word in words)
    entries = sorted((-count, word) for word, count in counts.items() if count >= min_count)[:most]
    kept = {word for _, word in entries}
    left = [[word for word in words if word in kept] for words in split]
    return [(word, -count) for count, word in entries], [words for words in left if words], counts.total()


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


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that corpora are made in, in order."""
    folders: list[Path] = []
    encode = word_encoding.encode_words

    def spy(source, split, folder, **options):
        folders.append(folder)
        return encode(source, split, folder, **options)

    monkeypatch.setattr(word_corpus, "encode_words", spy)
    return folders


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.txt"
    path.write_text("a a b b 3\nA b c\na b b\n")
    return path


def test_the_cache_is_found_again(path: Path, tmp_path: Path, made: list[Path]) -> None:
    first, second = (load(path, tmp_path / "cache", min_count=2) for _ in range(2))
    assert len(made) == 1
    assert sentences(first) == sentences(second) == [["a", "a", "b", "b"], ["a", "b"], ["a", "b", "b"]]
    assert second.vocabulary.words == first.vocabulary.words == ["b", "a"]
    (folder,) = (entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir())
    names = ["corpus.json", "ids.npy", "starts.npy", "vocab.tsv", "vocab_total.json"]
    assert sorted(entry.name for entry in folder.iterdir()) == names
    assert np.load(folder / "ids.npy").tolist() == first.ids.tolist()  # a .npy file for anyone


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer": "whitespace"},
        {"min_count": 1},
        {"max_vocabulary": 2},
        {"max_rows": 2},
        "content",
        "time",
        "name",
        "another file",
    ],
)
def test_any_other_setting_is_another_corpus(path: Path, tmp_path: Path, made: list[Path], change: dict | str) -> None:
    options, train_data = {"min_count": 2}, str(path)
    load(train_data, tmp_path / "cache", **options)
    stat = path.stat()
    if isinstance(change, dict):
        options |= change
    elif change == "content":
        path.write_text("a a b b 3\nA b c\na b b b\n")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    elif change == "name":
        train_data = str(path.rename(tmp_path / "y.txt"))
    else:
        train_data += f",{path}"
    changed = load(train_data, tmp_path / "cache", **options)
    assert len(made) == 2
    lines = [Path(file).read_text().splitlines() for file in train_data.split(",")]
    expected = reference(
        sum(lines, [])[: options.get("max_rows")],
        options.get("tokenizer", "text8"),
        options["min_count"],
        options.get("max_vocabulary"),
    )
    assert sentences(changed) == expected[1]
    load(train_data, tmp_path / "cache", **options)
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["ids.npy", "starts.npy", "vocab.tsv", "corpus.json", "unlink", "swap"])
def test_a_damaged_cache_is_made_anew(
    path: Path, tmp_path: Path, made: list[Path], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = sentences(load(path, tmp_path / "cache", min_count=1))
    folder = made[0].with_suffix("")
    if damage == "unlink":
        (folder / "corpus.json").unlink()
    elif damage == "swap":
        np.save(folder / "starts.npy", np.array([0, 1]))
    else:
        (folder / damage).write_bytes((folder / damage).read_bytes()[:-3])
    assert sentences(load(path, tmp_path / "cache", min_count=1)) == wanted
    assert len(made) == 2
    assert f"{folder}: the cached corpus is damaged and is made anew" in caplog.messages


def test_what_a_kill_leaves_is_not_taken_for_a_corpus(path: Path, tmp_path: Path, made: list[Path]) -> None:
    wanted = sentences(load(path, tmp_path / "cache", min_count=1))
    made[0].with_suffix("").rename(made[0])  # all files are there, but the folder has not got its name
    np.save(made[0] / "ids.npy", np.zeros(3, dtype=np.int32))
    (made[0] / "numbers.npy").write_bytes(b"half")
    assert sentences(load(path, tmp_path / "cache", min_count=1)) == wanted
    assert len(made) == 2 and not made[0].exists()


def test_an_interrupt_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(text: str) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setitem(word_tokenizers._REGISTRY, "interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(path, tmp_path / "cache", tokenizer="interrupted")
    assert [entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir()] == []


def test_processes_wait_for_the_one_that_makes_it(path: Path, tmp_path: Path, made: list[Path]) -> None:
    found: list[WordCorpus] = []
    work = [
        threading.Thread(target=lambda: found.append(load(path, tmp_path / "cache", min_count=1))) for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(found) == 4 and len(made) == 1


def test_rows_beyond_max_rows_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"a b\n\nb c\n\xff\n")
    assert sentences(load(tmp_path / "x.txt", tmp_path / "cache", min_count=1, max_rows=2)) == [["a", "b"], ["b", "c"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("y.txt", b"a\n", r"x\.txt: no such file; did you mean .*y\.txt"),
        ("x.txt", b"a b\n\xff\n", r"x\.txt, line 2: byte 0xff at offset 4 is not UTF-8"),
        ("x.txt.gz", gzip.compress(b"a b\n" * 99)[:-9], r"x\.txt\.gz: cannot be read .*; restore"),
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
