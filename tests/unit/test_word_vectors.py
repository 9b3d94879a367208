"""Word vectors: look-ups, nearest words, and files of word2vec and GloVe."""

import gzip
import logging
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hf_contrastive.errors import DataError
from hf_contrastive.models import WordVectors, word_files, word_vectors
from hf_contrastive.models.word_vectors import row_of


def random_vectors(size: int = 30, width: int = 6, seed: int = 0) -> WordVectors:
    rng = np.random.default_rng(seed)
    return WordVectors([f"w{number}" for number in range(size)], rng.standard_normal((size, width)))


def reference_nearest(vectors: np.ndarray, query: np.ndarray, banned: set[int]) -> list[tuple[float, int]]:
    """All rows but the banned ones with their cosines, by a loop in float64."""
    found = []
    for row, vector in enumerate(vectors.astype(np.float64)):
        length = np.sqrt((vector**2).sum() * (query**2).sum())
        if row not in banned:
            found.append((float(vector @ query) / length if length else 0.0, row))
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))


# --- the container ---


def test_looks_words_up() -> None:
    vectors = WordVectors(["b", "a"], np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([7, 2]))
    assert vectors.vectors.dtype == np.float32 and len(vectors) == 2 and vectors.index == {"b": 0, "a": 1}
    assert "a" in vectors and "c" not in vectors and 0 not in vectors
    assert vectors["b"].tolist() == [3, 4]
    np.testing.assert_allclose(vectors.unit(), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    with pytest.raises(KeyError):
        vectors["c"]


@pytest.mark.parametrize(
    "words, vectors, counts, message",
    [
        (["a", "b"], np.zeros((3, 2)), None, r"\[3, 2\]|\(3, 2\).*\[2, D\]"),
        (["a", "b"], np.zeros(2), None, r"\[2, D\]"),
        (["a", "b"], np.zeros((2, 3)), np.ones(3), r"counts.*\[2\]"),
        (["a", "b", "c", "a"], np.zeros((4, 3)), None, "'a' occurs twice, in rows 0 and 3"),
        ([], np.zeros((0, 3)), None, "no words"),
        (["a", "b"], np.array([[1, 2], [np.nan, 1]]), None, "'b'.*not finite"),
        (["a", "b"], np.array([[1, -np.inf], [1, 1]]), None, "'a'.*not finite"),
    ],
)
def test_refuses_what_does_not_fit(words: list[str], vectors: np.ndarray, counts: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        WordVectors(words, vectors, counts)


@pytest.mark.parametrize("queries, table", [(256, 2**22), (1, 1), (2, 14), (7, 50)])
def test_nearest_words_are_the_same_in_blocks_of_any_size(
    monkeypatch: pytest.MonkeyPatch, queries: int, table: int
) -> None:
    monkeypatch.setattr(word_vectors, "_QUERIES", queries)
    monkeypatch.setattr(word_vectors, "_TABLE", table)
    vectors = random_vectors()
    vectors.vectors[4] = 0
    asked = [3, 0, 29, 17, 4]
    found = vectors.most_similar([f"w{row}" for row in asked], k=5, exclude=["w8", "w9"])
    for row, neighbours in zip(asked, found, strict=True):
        expected = reference_nearest(vectors.vectors, vectors.vectors[row].astype(np.float64), {row, 8, 9})[:5]
        assert [cosine for _, cosine in neighbours] == pytest.approx([cosine for cosine, _ in expected], abs=1e-6)
        if row != 4:  # all cosines are equal there
            assert [word for word, _ in neighbours] == [f"w{other}" for _, other in expected]
            alone = vectors.most_similar(f"w{row}", k=5, exclude=["w8", "w9"])
            assert alone == [(word, pytest.approx(cosine, abs=1e-6)) for word, cosine in neighbours]


def test_nearest_words_of_vectors() -> None:
    vectors = random_vectors()
    queries = np.random.default_rng(1).standard_normal((3, 6))
    many = vectors.most_similar(queries, k=4)
    for query, neighbours in zip(queries, many, strict=True):
        expected = reference_nearest(vectors.vectors, query, set())[:4]
        assert neighbours == [(f"w{row}", pytest.approx(cosine, abs=1e-6)) for cosine, row in expected]
        assert vectors.most_similar(query, k=4) == [(word, pytest.approx(cosine)) for word, cosine in neighbours]
    assert vectors.most_similar(vectors["w5"], k=1)[0][0] == "w5"  # a vector is nobody's: the word itself is found
    assert vectors.most_similar(vectors["w5"], k=1, exclude=["w5"]) == vectors.most_similar("w5", k=1)


def test_asks_for_more_words_than_there_are() -> None:
    found = random_vectors(size=4).most_similar("w0", k=10)
    assert sorted(word for word, _ in found) == ["w1", "w2", "w3"]
    assert random_vectors().most_similar([]) == []


@pytest.mark.parametrize(
    "ask, error, message",
    [
        (lambda v: v.most_similar("W1"), DataError, "no vector for 'W1' among 30"),
        (lambda v: v.most_similar(["w1", "x", "y"]), DataError, "'x', 'y'"),
        (lambda v: v.most_similar("w1", exclude=["x"]), DataError, "'x'"),
        (lambda v: v.analogy("w1", "w2", "x"), DataError, "'x'"),
        (lambda v: v.most_similar("w1", k=0), ValueError, "k must be positive"),
        (lambda v: v.most_similar(np.zeros(5)), ValueError, r"\[6\]"),
    ],
)
def test_says_what_cannot_be_asked(ask: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ask(random_vectors())


def test_analogy_is_3cosadd_without_the_words_asked() -> None:
    vectors = random_vectors()
    unit = [row / np.sqrt((row**2).sum()) for row in vectors.vectors.astype(np.float64)]
    for a, b, c in [(0, 1, 2), (5, 3, 9), (7, 7, 1)]:
        expected = reference_nearest(vectors.vectors, unit[b] - unit[a] + unit[c], {a, b, c})[:3]
        found = vectors.analogy(f"w{a}", f"w{b}", f"w{c}", k=3)
        assert found == [(f"w{row}", pytest.approx(cosine, abs=1e-6)) for cosine, row in expected]


def test_row_is_that_of_the_word_else_of_its_lower_case() -> None:
    index = {"Turkey": 0, "turkey": 1, "us": 2}
    assert [row_of(index, word) for word in ("Turkey", "turkey", "TURKEY", "US", "uS.")] == [0, 1, 1, 2, -1]


# --- files ---

ODD_WORDS = ["the", "naïve", "日本", "a\u0301", "#", "1.5", "\u2581x"]
EXTREMES = [0.0, -0.0, 1e-45, 3.4028235e38, -1.1754944e-38, 0.1, 1 / 3, 16777217, -2.5, 1e16]


def odd_vectors() -> WordVectors:
    numbers = np.random.default_rng(0).choice(np.array(EXTREMES, dtype=np.float32), size=(len(ODD_WORDS), 40))
    return WordVectors(ODD_WORDS, numbers)


@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz", "v.bin", "folder/v.bin.gz"])
def test_word2vec_files_give_every_bit_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(word_files, "_ROWS", 3)
    path, vectors, binary = tmp_path / name, odd_vectors(), ".bin" in name
    vectors.save_word2vec(path, binary)
    content = path.read_bytes()
    plain = gzip.decompress(content) if name.endswith(".gz") else content
    assert plain.startswith(b"7 40\n")
    for chunk in (1, 7, 2**20):
        monkeypatch.setattr(word_files, "_CHUNK", chunk)
        again = WordVectors.load_word2vec(path, binary)
        assert again.words == vectors.words and again.vectors.flags.writeable
        assert again.vectors.tobytes() == vectors.vectors.tobytes()
    assert [file.name for file in path.parent.iterdir() if file.is_file()] == [path.name]


def test_files_are_laid_out_as_word2vec_does(tmp_path: Path) -> None:
    vectors = WordVectors(["a", "é"], np.array([[0.5, -1], [0.1, 3]]))
    vectors.save_word2vec(tmp_path / "v.txt", binary=False)
    assert (tmp_path / "v.txt").read_text(encoding="utf-8") == "2 2\na 0.5 -1.0\né 0.1 3.0\n"
    vectors.save_word2vec(tmp_path / "v.bin", binary=True)
    rows = struct.pack("<2f", 0.5, -1), struct.pack("<2f", 0.1, 3)
    assert (tmp_path / "v.bin").read_bytes() == b"2 2\na " + rows[0] + b"\n" + "é ".encode() + rows[1] + b"\n"
    # As gensim writes binary and word2vec.c writes text: no line feed after a vector, a space at the end of a line.
    (tmp_path / "gensim.bin").write_bytes(b"2 2\na " + rows[0] + "é ".encode() + rows[1])
    (tmp_path / "c.txt").write_text("2 2\na 0.5 -1 \né 0.1 3 \n", encoding="utf-8")
    for name, binary in (("gensim.bin", True), ("c.txt", False)):
        again = WordVectors.load_word2vec(tmp_path / name, binary)
        assert again.words == vectors.words and (again.vectors == vectors.vectors).all()


@pytest.mark.parametrize("word", ["New York", "", "a\n", "\ta", "a\xa0b"])
@pytest.mark.parametrize("binary", [True, False])
def test_refuses_words_that_the_format_cannot_say(tmp_path: Path, word: str, binary: bool) -> None:
    path = tmp_path / "v.txt"
    path.write_text("before")
    with pytest.raises(DataError, match=r"v\.txt: word 1 of the vocabulary, .* empty or holds white space"):
        WordVectors(["a", word], np.ones((2, 3))).save_word2vec(path, binary)
    assert path.read_text() == "before"


def test_a_kill_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.txt"
    random_vectors(size=3).save_word2vec(path, binary=False)
    before = path.read_bytes()

    class Killed(list):
        def __getitem__(self, key: object) -> object:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        word_files.write_word2vec(path, Killed(["a", "b"]), np.ones((2, 3), dtype=np.float32), binary=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["g.txt", "g.txt.gz"])
def test_reads_glove(tmp_path: Path, name: str) -> None:
    content = "the 0.5 -1 2e-1\n. . . 1 2 3\né 4 5 6\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = WordVectors.load_glove(tmp_path / name)
    assert found.words == ["the", ". . .", "é"]
    assert found.vectors.tolist() == [[0.5, -1, np.float32(0.2)], [1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("binary", [True, False])
def test_of_a_word_that_occurs_twice_the_first_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, binary: bool
) -> None:
    path = tmp_path / "v"
    word_files.write_word2vec(path, ["a", "b", "a", "c"], np.arange(8, dtype=np.float32).reshape(4, 2), binary)
    with caplog.at_level(logging.WARNING):
        found = WordVectors.load_word2vec(path, binary)
    assert found.words == ["a", "b", "c"] and found.vectors.tolist() == [[0, 1], [2, 3], [6, 7]]
    assert "left out 1 of 4 words" in caplog.text


BINARY = b"2 2\na " + struct.pack("<2f", 1, 2) + b"\nb " + struct.pack("<2f", 3, 4) + b"\n"


@pytest.mark.parametrize(
    "content, binary, message",
    [
        (b"", False, "line 1: expected the numbers of words and of dimensions"),
        (b"a 1 2\nb 3 4\n", False, "line 1: .*read by load_glove"),
        (b"a " * 100, False, "line 1: "),
        (b"0 2\n", False, "line 1: 0 words"),
        (b"2 2\na 1 2\nb 3\n", False, "line 3: expected a word and 2 numbers, a space between; got 2"),
        (b"2 2\na 1 2 3\nb 3 4\n", False, "line 2: expected a word and 2 numbers, a space between; got 4"),
        (b"2 2\nNew York 1 2\nb 3 4\n", False, "line 2: expected .* got 4"),
        (b"2 2\na\t1\t2\nb 3 4\n", False, "line 2: expected .* got 1"),
        (b"2 2\na 1 x\nb 3 4\n", False, "line 2: could not convert"),
        (b"2 2\na 1 2\n", False, "line 1 says 2 words, 1 lines follow"),
        (b"2 2\na 1 2\nb 3 4\nc 5 6\n", False, "line 1 says 2 words, 3 lines follow"),
        (b"2 2\n\xff 1 2\nb 3 4\n", False, "line 2: the word .* not UTF-8"),
        (b"2 2\na 1 nan\nb 3 4\n", False, "vector of 'a' has numbers that are not finite"),
        (b"2 2\na 1 2\nb 1e99 4\n", False, "vector of 'b' has numbers that are not finite"),
        (BINARY, False, "line 2"),
        (BINARY[:-2], True, "ends in word 1 of 2"),
        (BINARY[:12], True, "too short"),
        (BINARY + b"x", True, "goes on after the 2 words"),
        (BINARY.replace(b"b ", b"\xff "), True, "word 1, .* not UTF-8"),
        (b"2 2\nword 1.00000000 2.0000000\nother 3 4\n", True, "is it text"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, content: bytes, binary: bool, message: str) -> None:
    (tmp_path / "v.vec").write_bytes(content)
    with pytest.raises(DataError, match=rf"v\.vec.*({message})"):
        WordVectors.load_word2vec(tmp_path / "v.vec", binary)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "line 1: expected a word and its numbers"),
        (b"2 3\na 1 2 3\n", "line 1: '2 3' is word2vec's first line; use load_word2vec"),
        (b"a 1 2\nb 1\n", "line 2: expected a word and 2 numbers, a space between; got 2"),
        (b"a 1 2\nb 1 2 3\n", "line 2: expected a word and 2 numbers, a space between; got 4"),
        (b"a 1 2\n\nb 1 2\n", "line 2: expected .* got 1"),
    ],
)
def test_says_what_is_wrong_with_a_glove_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "g.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"g\.txt, {message}"):
        WordVectors.load_glove(tmp_path / "g.txt")


def test_says_which_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        WordVectors.load_glove(tmp_path / "none.txt")
    zipped = gzip.compress(b"2 2\na 1 2\nb 3 4\n")
    (tmp_path / "half.txt.gz").write_bytes(zipped[:-12])
    (tmp_path / "not.txt.gz").write_bytes(b"2 2\na 1 2\nb 3 4\n")
    for name in ("half.txt.gz", "not.txt.gz"):
        with pytest.raises(DataError, match=f"{name}: cannot be read"):
            WordVectors.load_word2vec(tmp_path / name, binary=False)
