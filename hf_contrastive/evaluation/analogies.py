"""Word analogies: "a is to b as c is to ?", the answer being the word nearest to b - a + c.

Questions are in the format of word2vec's questions-words.txt (Mikolov et al., 2013): lines ": NAME OF A SECTION", and
lines of four words. Sections whose names begin with "gram" are syntactic, the others semantic.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from hf_contrastive.errors import DataError
from hf_contrastive.files import utf8_lines
from hf_contrastive.models.word_vectors import WordVectors, row_of, unit_rows

logger = logging.getLogger(__name__)

ANALOGY_METHODS = ("3cosadd", "3cosmul")

_TABLE = 2**21  # numbers of a table held at a time: 8 MB
_EPSILON = 0.001  # against division by zero, that of Levy & Goldberg (2014)


@dataclass(frozen=True)
class AnalogyScore:
    """Questions answered rightly, questions asked, and questions left out because a word has no vector."""

    correct: int
    asked: int
    skipped: int

    @property
    def accuracy(self) -> float | None:
        """Share of the questions asked in [0, 1]; `None` where none was."""
        return self.correct / self.asked if self.asked else None


@dataclass(frozen=True)
class AnalogyResult:
    """Scores by section, how they were reached, and where the questions were read."""

    sections: dict[str, AnalogyScore]
    method: str
    restrict_vocab: int | None
    source: str

    @property
    def total(self) -> AnalogyScore:
        """All questions."""
        return _sum(self.sections.values())

    @property
    def semantic(self) -> AnalogyScore:
        """Questions about what things are: capitals, currencies, families."""
        return _sum(score for name, score in self.sections.items() if not name.startswith("gram"))

    @property
    def syntactic(self) -> AnalogyScore:
        """Questions about the forms of words."""
        return _sum(score for name, score in self.sections.items() if name.startswith("gram"))


def evaluate_analogies(
    vectors: WordVectors,
    path: str | Path,
    method: str = "3cosadd",
    restrict_vocab: int | None = 300_000,
    progress: bool = False,
) -> AnalogyResult:
    """Share of the questions whose answer is the best word, the three words of the question not being answers.

    Words are looked up as written, then in lower case. Questions with an unknown word are skipped and counted.

    Args:
        vectors: V words; sorted by falling count for `restrict_vocab`.
        path: of the questions.
        method: `3cosadd`, the cosine with b - a + c of unit vectors (Mikolov et al., 2013); or `3cosmul`,
            cos(b) cos(c) / (cos(a) + 0.001) of cosines moved to [0, 1] (Levy & Goldberg, 2014, equation 4).
        restrict_vocab: questions and answers are of the first so many words; gensim's default. `None`: of all.
        progress: show a bar with the time left.

    Raises:
        DataError: a file or line that cannot be used, an unknown method, or no question whose words are all known.
    """
    if method not in ANALOGY_METHODS:
        raise DataError(f"method: unknown method {method!r}; choose from {', '.join(ANALOGY_METHODS)}")
    if restrict_vocab is not None and restrict_vocab < 1:
        raise DataError(f"restrict_vocab: must be positive, got {restrict_vocab}")
    path = Path(path)
    sections = _read_questions(path)
    table = vectors.vectors[:restrict_vocab]
    rows = {name: _rows(vectors, questions, len(table)) for name, questions in sections.items()}
    known = np.concatenate(list(rows.values()))
    if not len(known):
        raise DataError(f"{path}: no question whose words are all among the first {len(table)} of the vocabulary")
    right = _answers(table, known[:, :3], method, progress) == known[:, 3]
    ends = np.cumsum([len(questions) for questions in rows.values()])
    scores = {
        name: AnalogyScore(int(correct.sum()), len(correct), len(sections[name]) - len(correct))
        for name, correct in zip(rows, np.split(right, ends[:-1]), strict=True)
    }
    result = AnalogyResult(scores, method, restrict_vocab, str(path))
    if result.total.skipped:
        logger.info("%s: skipped %d questions with a word that has no vector", path, result.total.skipped)
    return result


def _answers(table: np.ndarray, questions: np.ndarray, method: str, progress: bool) -> np.ndarray:
    """Rows [Q] of the best words for the rows [Q, 3] of a, b, c; -1 where no other word is left.

    Each word of the questions is multiplied with the vocabulary once, however many questions it is in: what is left
    for a question is to add or multiply three rows of cosines.
    """
    words, places = np.unique(questions, return_inverse=True)
    places = places.reshape(questions.shape)
    asked = unit_rows(table[words])
    best = np.full(len(questions), -np.inf, dtype=np.float32)
    answers = np.full(len(questions), -1)
    step = max(1, min(_TABLE // len(words), len(table)))
    at_once = max(1, _TABLE // step)
    starts = range(0, len(table), step)
    for start in tqdm(starts, desc="analogies", unit=f"{step} words", disable=not progress):
        cosines = asked @ unit_rows(table[start : start + step]).T
        if method == "3cosmul":
            cosines = (1 + cosines) / 2
        for first in range(0, len(questions), at_once):
            block = slice(first, first + at_once)
            a, b, c = places[block].T
            scores = cosines[b]
            if method == "3cosadd":
                scores -= cosines[a]
                scores += cosines[c]
            else:
                scores *= cosines[c]
                scores /= cosines[a] + _EPSILON
            own = questions[block] - start
            who, which = np.nonzero((own >= 0) & (own < scores.shape[1]))
            scores[who, own[who, which]] = -np.inf
            found = scores.argmax(axis=1)
            value = scores[np.arange(len(found)), found]
            better = value > best[block]
            best[block] = np.where(better, value, best[block])
            answers[block] = np.where(better, found + start, answers[block])
    return answers


def _rows(vectors: WordVectors, questions: list[list[str]], size: int) -> np.ndarray:
    """Rows [n, 4] of the questions whose words are all among the first `size`."""
    rows = np.array([[row_of(vectors.index, word) for word in question] for question in questions]).reshape(-1, 4)
    return rows[((rows >= 0) & (rows < size)).all(axis=1)]


def _read_questions(path: Path) -> dict[str, list[list[str]]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; name one in the format of word2vec's questions-words.txt")
    lines = utf8_lines(path.read_bytes(), path)
    sections: dict[str, list[list[str]]] = {}
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if line.startswith(":"):
            section = sections.setdefault(line[1:].strip(), [])
        elif not sections and fields:
            raise DataError(
                f"{path}, line {number}: a question before the first section; put a line ': NAME' before it"
            )
        elif fields:
            if len(fields) != 4:
                raise DataError(f"{path}, line {number}: expected four words, got {line.strip()!r:.80}; correct it")
            section.append(fields)
    if not any(sections.values()):
        raise DataError(f"{path}: no questions; name another file")
    return sections


def _sum(scores: Iterable[AnalogyScore]) -> AnalogyScore:
    scores = list(scores)
    return AnalogyScore(
        sum(score.correct for score in scores),
        sum(score.asked for score in scores),
        sum(score.skipped for score in scores),
    )
