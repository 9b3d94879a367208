"""Word similarity and neighbours: Spearman against a loop and against gensim, files that are refused."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from word_pairs import cosine, random_vectors

from hf_contrastive.errors import DataError
from hf_contrastive.evaluation import (
    WORD_SIMILARITY_TASKS,
    WordSimilarity,
    evaluate_word_similarity,
    neighbours_table,
    spearman,
)
from hf_contrastive.models import WordVectors


def pairs_text(seed: int = 0, rows: int = 60) -> str:
    """Pairs of different words, some unknown, some with capitals; scores with ties."""
    rng = np.random.default_rng(seed)
    lines = []
    for left, right, score in zip(*rng.integers(0, 25, (2, rows)), rng.integers(0, 11, rows), strict=True):
        lines.append(f"{'W' if left % 3 == 0 else 'w'}{2 * left}\tw{2 * right + 1}\t{score / 2}")
    return "\n".join(lines) + "\n"


def reference_similarity(vectors: WordVectors, text: str, oov: str) -> tuple[float, int]:
    """Spearman and number of known pairs, by a loop."""
    model, people, known = [], [], 0
    for line in text.splitlines():
        a, b, score = line.lower().split()
        both = a in vectors.index and b in vectors.index
        known += both
        if both or oov == "zero":
            model.append(cosine(vectors[a], vectors[b]) if both else 0.0)
            people.append(float(score))
    return spearman(model, people), known


@pytest.mark.parametrize("oov", ["skip", "zero"])
@pytest.mark.parametrize("seed", [0, 1])
def test_similarity_is_spearman_of_the_known_pairs(tmp_path: Path, oov: str, seed: int) -> None:
    vectors, path = random_vectors(seed=seed), tmp_path / "mine.txt"
    path.write_text(pairs_text(seed), encoding="utf-8")
    expected, known = reference_similarity(vectors, pairs_text(seed), oov)
    result = evaluate_word_similarity(vectors, path, oov)
    (score,) = result.scores.values()
    assert list(result.scores) == ["mine"] and result.oov == oov and result.source == str(path)
    assert score.spearman == pytest.approx(expected, abs=1e-6)
    assert (score.pairs, score.known) == (60, known) and 20 < known < 60
    assert score.coverage == known / 60


@pytest.mark.parametrize("oov", ["skip", "zero"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_similarity_equals_gensims(tmp_path: Path, oov: str, seed: int) -> None:
    gensim = pytest.importorskip("gensim.models")
    vectors, path = random_vectors(seed=seed), tmp_path / "pairs.tsv"
    path.write_text("# by hand\n" + pairs_text(seed), encoding="utf-8")
    keyed = gensim.KeyedVectors(vectors.vectors.shape[1])
    keyed.add_vectors(vectors.words, vectors.vectors)
    _, expected, unknown = keyed.evaluate_word_pairs(str(path), dummy4unknown=oov == "zero")
    score = evaluate_word_similarity(vectors, path, oov).scores["pairs"]
    assert score.spearman == pytest.approx(expected.statistic, abs=1e-6)
    assert 100 * (1 - score.coverage) == pytest.approx(unknown)


def test_pairs_are_read_once_and_tables_of_torch_measured_where_they_are(tmp_path: Path) -> None:
    vectors, path = random_vectors(), tmp_path / "pairs.txt"
    path.write_text(pairs_text(), encoding="utf-8")
    sets = WordSimilarity(path)
    path.unlink()
    expected = sets.measure(vectors.index, vectors.vectors)
    table = torch.nn.Parameter(torch.tensor(vectors.vectors))
    assert sets.measure(vectors.index, table) == expected
    half = sets.measure(vectors.index, table.to(torch.bfloat16)).scores["pairs"]
    assert half.spearman == pytest.approx(expected.scores["pairs"].spearman, abs=0.05)
    other = random_vectors(seed=5)
    assert sets.measure(other.index, other.vectors) != expected


def test_words_are_found_as_written_then_in_lower_case(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("Turkey us 1\nTURKEY us 2\nturkey us 3\n", encoding="utf-8")
    vectors = WordVectors(["Turkey", "turkey", "us"], np.array([[1.0, 0], [0, 1], [1, 1e-3]]))
    # cosines 1, 0, 0 to people's 1, 2, 3: ranks 3, 1.5, 1.5 and 1, 2, 3
    assert evaluate_word_similarity(vectors, path).scores["pairs"].spearman == pytest.approx(-math.sqrt(3) / 2)


def test_words_beside_themselves_are_all_as_alike(tmp_path: Path) -> None:
    """In float32 the cosine of a vector with itself is 0.9999999, 1 or 1.0000001: gensim ranks by that."""
    path = tmp_path / "pairs.txt"
    path.write_text("".join(f"w{n} w{n} {9 + n / 100}\n" for n in range(40)) + "w0 w1 1\nx x 0\n", encoding="utf-8")
    expected = spearman([1] * 40 + [0.5, 0], [9 + n / 100 for n in range(40)] + [1, 0])
    score = evaluate_word_similarity(random_vectors(), path, oov="zero").scores["pairs"]
    without = spearman([1] * 40 + [0.5], [9 + n / 100 for n in range(40)] + [1])
    assert score.spearman == pytest.approx(expected)
    assert evaluate_word_similarity(random_vectors(), path).scores["pairs"].spearman == pytest.approx(without)


def test_a_set_without_known_pairs_has_no_score(tmp_path: Path) -> None:
    (tmp_path / "EN-MC-30.txt").write_text("w1 w2 3\nw3 w4 4\n")
    (tmp_path / "EN-RG-65.txt").write_text("x y 3\nw3 z 4\n")
    vectors = random_vectors()
    result = evaluate_word_similarity(vectors, tmp_path)
    assert result.scores["RG-65"].spearman is None and result.scores["RG-65"].coverage == 0
    assert result.scores["MC-30"].spearman in (-1, pytest.approx(1))
    assert evaluate_word_similarity(vectors, tmp_path, "zero").scores["RG-65"].spearman == 0
    with pytest.raises(DataError, match=r"EN-RG-65\.txt: no pair"):
        evaluate_word_similarity(vectors, tmp_path / "EN-RG-65.txt")
    nothing_known = WordSimilarity(tmp_path).measure({"other": 0}, np.ones((1, 2)))
    assert all(score.spearman is None for score in nothing_known.scores.values())


def test_reads_files_of_any_editor(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes("\ufeff# word1 word2\r\nw1\tw2\t3\r\n\r\nw3   w4 4.5\r\nw5 w6 1".encode())
    assert evaluate_word_similarity(random_vectors(), path).scores["pairs"].pairs == 3


@pytest.mark.parametrize(
    "content, message",
    [
        (b"w1 w2 3\nw1 w2\n", r"pairs\.txt, line 2: expected word1 word2 score, got 'w1 w2'"),
        (b"w1 w2 3\nw1 w2 high\n", "line 2: expected"),
        (b"Word1 Word2 Score\nw1 w2 3\n", "line 1: expected .*put # before it"),
        (b"w1 w2 3\nw1 w2 nan\n", "line 2: expected"),
        (b"w1 w2 3\nNew York w2 4\n", "line 2: expected"),
        (b"w1 w2 3\nw3 w4 3\n", "2 pairs hold fewer than 2 different scores"),
        (b"", "0 pairs"),
        (b"w1 w\xff 3\n", "not UTF-8 at byte 4"),
    ],
)
def test_says_what_is_wrong_with_pairs(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "pairs.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        WordSimilarity(tmp_path / "pairs.txt")


def test_says_what_cannot_be_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match="none: no such file or folder"):
        WordSimilarity(tmp_path / "none")
    with pytest.raises(DataError, match=r"has none of EN-WS-353-ALL\.txt"):
        WordSimilarity(tmp_path)
    (tmp_path / "EN-MC-30.txt").write_text("w1 w2 3\nw3 w4 4\n")
    with pytest.raises(DataError, match="oov: unknown policy 'drop'"):
        WordSimilarity(tmp_path, oov="drop")
    with caplog.at_level(logging.WARNING):
        sets = WordSimilarity(tmp_path)
    assert "MC-30: 2 pairs, the published set has 30" in caplog.text
    with pytest.raises(ValueError, match="diverged"):
        sets.measure(random_vectors().index, np.full((40, 4), np.nan))


@pytest.mark.shared
def test_published_sets_are_read_whole(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        sets = WordSimilarity(shared_data / "wordsim")
    result = sets.measure({"tiger": 0, "cat": 1}, np.eye(2))
    assert tuple(result.scores) == WORD_SIMILARITY_TASKS
    assert [score.pairs for score in result.scores.values()] == [353, 203, 252, 2034, 999, 30, 65, 287, 771]
    assert result.scores["WS-353"].known == 2 and not caplog.text  # tiger cat, tiger tiger


# --- neighbours ---


def test_neighbours_table_shows_words_as_they_are() -> None:
    vectors = WordVectors(["king", "[red]", "a|b"], np.array([[1.0, 0], [1, 1], [0, 1]]))
    table, lines = neighbours_table(vectors, ["King", "[red]", "nobody", "a|b"], k=2)
    assert lines == [
        "| word | nearest words |",
        "| --- | --- |",
        "| King | [red] 0.71, a\\|b 0.00 |",
        "| [red] | king 0.71, a\\|b 0.71 |",
        "| nobody | (no vector) |",
        "| a\\|b | [red] 0.71, king 0.00 |",
    ]
    console = Console(width=80, record=True, file=open("/dev/null", "w"))
    console.print(table)
    shown = console.export_text()
    assert "[red] 0.71, a|b 0.00" in shown and "(no vector)" in shown
