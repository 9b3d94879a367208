import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from hf_contrastive.errors import DataError
from hf_contrastive.evaluation import (
    WORD_SIMILARITY_TASKS,
    WordSimilarity,
    analogies,
    evaluate_analogies,
    evaluate_word_similarity,
    neighbours_table,
    spearman,
)
from hf_contrastive.models import WordVectors


def random_vectors(size: int = 40, width: int = 4, seed: int = 0) -> WordVectors:
    rng = np.random.default_rng(seed)
    return WordVectors([f"w{number}" for number in range(size)], rng.standard_normal((size, width)))


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))


# --- similarity ---


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


# --- analogies ---


def questions_text(seed: int = 0, size: int = 44, rows: int = 50) -> str:
    """Questions in three sections; those of the last and some of the others have an unknown word."""
    rng = np.random.default_rng(seed)
    lines = []
    for section in ("capitals", "gram1 plural", "family"):
        lines.append(f": {section}")
        for a, b, c, d in rng.integers(0, size, (rows, 4)):
            lines.append(f"w{a} W{b} w{c} w{d if section != 'family' else 99}")
    return "\n".join(lines) + "\n"


def predictable(vectors: WordVectors, text: str, method: str, restrict: int | None = None) -> str:
    """The same questions, every second one with the reference's answer in the place of what was asked for."""
    lines = []
    for number, line in enumerate(text.splitlines()):
        words = line.lower().split()
        if number % 2 and len(words) == 4 and all(word in vectors.index for word in words[:3]) and words[3] != "w99":
            line = " ".join([*words[:3], reference_answer(vectors, words[:3], method, restrict)])
        lines.append(line)
    return "\n".join(lines) + "\n"


def reference_answer(vectors: WordVectors, words: list[str], method: str, restrict: int | None) -> str:
    a, b, c = (vectors[word] for word in words)
    best, answer = -math.inf, ""
    for word in vectors.words[:restrict]:
        to_a, to_b, to_c = (cosine(vectors[word], other) for other in (a, b, c))
        if method == "3cosadd":
            score = to_b - to_a + to_c
        else:
            score = (1 + to_b) / 2 * (1 + to_c) / 2 / ((1 + to_a) / 2 + 0.001)
        if word not in words and score > best:
            best, answer = score, word
    return answer


def reference_analogies(vectors: WordVectors, text: str, method: str, restrict: int | None = None) -> dict:
    scores: dict[str, list[int]] = {}
    for line in text.splitlines():
        if line.startswith(":"):
            score = scores[line[2:]] = [0, 0, 0]
            continue
        words = line.lower().split()
        if all(word in vectors.words[:restrict] for word in words):
            score[0] += reference_answer(vectors, words[:3], method, restrict) == words[3]
            score[1] += 1
        else:
            score[2] += 1
    return scores


@pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
@pytest.mark.parametrize("restrict, table", [(None, 2**21), (25, 2**21), (None, 1), (None, 200), (25, 63)])
def test_analogies_are_a_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, restrict: int | None, table: int
) -> None:
    monkeypatch.setattr(analogies, "_TABLE", table)
    vectors, path = random_vectors(), tmp_path / "questions.txt"
    text = predictable(vectors, questions_text(), method, restrict)
    path.write_text(text, encoding="utf-8")
    result = evaluate_analogies(vectors, path, method, restrict)
    found = {name: [score.correct, score.asked, score.skipped] for name, score in result.sections.items()}
    expected = reference_analogies(vectors, text, method, restrict)
    assert found == expected
    assert 0 < expected["capitals"][0] < expected["capitals"][1] and expected["family"] == [0, 0, 50]
    assert result.syntactic == result.sections["gram1 plural"]
    assert [result.semantic.correct, result.semantic.asked] == expected["capitals"][:2]
    assert result.semantic.skipped == 50 + expected["capitals"][2]
    assert result.total.correct == sum(score[0] for score in expected.values())
    assert result.total.accuracy == result.total.correct / result.total.asked
    assert result.sections["family"].accuracy is None


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("restrict", [300_000, 30])
def test_analogies_equal_gensims(tmp_path: Path, seed: int, restrict: int) -> None:
    gensim = pytest.importorskip("gensim.models")
    vectors, path = random_vectors(seed=seed), tmp_path / "questions.txt"
    path.write_text(predictable(vectors, questions_text(seed), "3cosadd", restrict), encoding="utf-8")
    keyed = gensim.KeyedVectors(vectors.vectors.shape[1])
    keyed.add_vectors(vectors.words, vectors.vectors)
    accuracy, sections = keyed.evaluate_word_analogies(str(path), restrict_vocab=restrict)
    result = evaluate_analogies(vectors, path, restrict_vocab=restrict)
    assert 0 < result.total.accuracy < 1 and result.total.accuracy == pytest.approx(accuracy)
    for section in sections[:-1]:
        ours = result.sections[section["section"]]
        assert (ours.correct, ours.asked) == (len(section["correct"]), len(section["correct"] + section["incorrect"]))


def test_a_word_of_the_question_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "questions.txt"
    path.write_text(": s\na a a a\na b c a\n")
    # b - a + c is nearest to c itself; what is left is d
    vectors = WordVectors(["a", "b", "c", "d"], np.array([[1.0, 0], [1, 0.01], [0, 1], [-1, 0]]))
    assert evaluate_analogies(vectors, path).total.correct == 0
    path.write_text(": s\na b c d\n")
    assert evaluate_analogies(vectors, path).total.correct == 1
    only_these = WordVectors(["a", "b", "c"], np.eye(3))
    path.write_text(": s\na b c a\n")
    assert evaluate_analogies(only_these, path).total.correct == 0


@pytest.mark.parametrize(
    "content, options, message",
    [
        (b"a b c d\n", {}, r"questions\.txt, line 1: a question before the first section"),
        (b": s\nw1 w2 w3 w4\nw1 w2 w3\n", {}, "line 3: expected four words, got 'w1 w2 w3'"),
        (b": s\nw1 w2 w3 w4 w5\n", {}, "line 2: expected four words"),
        (b": s\n\n", {}, "no questions"),
        (b": s\nw1 w\xff w3 w4\n", {}, "not UTF-8 at byte 8"),
        (b": s\na b c d\n", {}, "no question whose words are all among the first 40"),
        (b": s\nw1 w2 w3 w9\n", {"restrict_vocab": 9}, "among the first 9"),
        (b": s\nw1 w2 w3 w9\n", {"restrict_vocab": 0}, "restrict_vocab: must be positive"),
        (b": s\nw1 w2 w3 w9\n", {"method": "3cosdiv"}, "unknown method '3cosdiv'; choose from 3cosadd, 3cosmul"),
    ],
)
def test_says_what_is_wrong_with_questions(tmp_path: Path, content: bytes, options: dict, message: str) -> None:
    (tmp_path / "questions.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        evaluate_analogies(random_vectors(), tmp_path / "questions.txt", **options)
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        evaluate_analogies(random_vectors(), tmp_path / "none.txt")


@pytest.mark.shared
def test_published_questions_are_read_whole(shared_data: Path) -> None:
    words = ["athens", "greece", "baghdad", "iraq", "big", "bigger", "small", "smaller"]
    vectors = WordVectors(words, np.random.default_rng(0).standard_normal((8, 3)))
    result = evaluate_analogies(vectors, shared_data / "wordsim" / "questions-words.txt")
    assert len(result.sections) == 14
    assert result.semantic.asked + result.semantic.skipped == 8869
    assert result.syntactic.asked + result.syntactic.skipped == 10675
    assert result.semantic.asked > 0 < result.syntactic.asked


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
