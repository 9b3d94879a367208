"""Word analogies against a loop and against gensim; files that are refused."""

import math
from pathlib import Path

import numpy as np
import pytest
from word_pairs import cosine, random_vectors

from hf_contrastive.errors import DataError
from hf_contrastive.evaluation import analogies, evaluate_analogies
from hf_contrastive.models import WordVectors


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
