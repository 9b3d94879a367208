"""Word similarity: Spearman between the cosine of two words and how alike people found them.

The sets have "word1 word2 score" a line: WordSim-353 (Finkelstein et al., 2002; similarity and relatedness apart by
Agirre et al., 2009), rare words (Luong et al., 2013), SimLex-999 (Hill et al., 2015), MC-30 (Miller & Charles, 1991),
RG-65 (Rubenstein & Goodenough, 1965), MTurk-287 (Radinsky et al., 2011) and MTurk-771 (Halawi et al., 2012).
Correlations are in [-1, 1]; tables multiply by 100.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table
from torch import Tensor

from hf_contrastive.arguments import OOV_POLICIES
from hf_contrastive.errors import DataError
from hf_contrastive.evaluation.geometry import spearman
from hf_contrastive.files import utf8_lines
from hf_contrastive.models.word_vectors import WordVectors, row_of, unit_rows

logger = logging.getLogger(__name__)


class _Task(NamedTuple):
    file: str
    pairs: int  # of the published set


_TASKS = {
    "WS-353": _Task("EN-WS-353-ALL.txt", 353),
    "WS-353-SIM": _Task("EN-WS-353-SIM.txt", 203),
    "WS-353-REL": _Task("EN-WS-353-REL.txt", 252),
    "RW": _Task("EN-RW-STANFORD.txt", 2034),
    "SimLex-999": _Task("EN-SIMLEX-999.txt", 999),
    "MC-30": _Task("EN-MC-30.txt", 30),
    "RG-65": _Task("EN-RG-65.txt", 65),
    "MTurk-287": _Task("EN-MTurk-287.txt", 287),
    "MTurk-771": _Task("EN-MTurk-771.txt", 771),
}
WORD_SIMILARITY_TASKS = tuple(_TASKS)


@dataclass(frozen=True)
class WordSimilarityScore:
    """Correlation on one set.

    Args:
        spearman: `None` where fewer than two pairs are scored.
        pairs: pairs of the set.
        known: pairs of which both words have a vector.
    """

    spearman: float | None
    pairs: int
    known: int

    @property
    def coverage(self) -> float:
        """Share of the pairs of which both words have a vector."""
        return self.known / self.pairs


@dataclass(frozen=True)
class WordSimilarityResult:
    """Scores by set, what became of pairs with an unknown word (`skip` or `zero`), and where the sets were read."""

    scores: dict[str, WordSimilarityScore]
    oov: str
    source: str


class _Pairs(NamedTuple):
    left: np.ndarray  # [N], places in the list of the words of all sets
    right: np.ndarray
    scores: np.ndarray  # float64 [N]


class WordSimilarity:
    """Word pairs that were read once, to measure vectors again and again: a few milliseconds for the nine sets.

    Args:
        source: a folder with some of the nine sets, called EN-*.txt as in Faruqui & Dyer's collection (2014,
            wordvectors.org); or any file of lines "word1 word2 score", white space between, higher is closer. Empty
            lines and lines that begin with # are comments.
        oov: what becomes of pairs with an unknown word: `skip` leaves them out, as gensim does; `zero` counts them
            with similarity 0, as gensim's `dummy4unknown`.

    Raises:
        DataError: nothing to read, or a line that cannot be used; names file, line and remedy.
    """

    def __init__(self, source: str | Path, oov: str = "skip") -> None:
        if oov not in OOV_POLICIES:
            raise DataError(f"oov: unknown policy {oov!r}; choose from {', '.join(OOV_POLICIES)}")
        self.source = Path(source)
        self.oov = oov
        places: dict[str, int] = {}
        self._sets = {name: _read_pairs(path, places) for name, path in _files(self.source).items()}
        self._words = list(places)
        for name, pairs in self._sets.items():
            if name in _TASKS and len(pairs.scores) != _TASKS[name].pairs:
                logger.warning(
                    "%s: %d pairs, the published set has %d; the score is not comparable with published ones",
                    *(name, len(pairs.scores), _TASKS[name].pairs),
                )

    def measure(self, index: Mapping[str, int], vectors: np.ndarray | Tensor) -> WordSimilarityResult:
        """Measure a table of vectors.

        Words are looked up as they are written, then in lower case.

        Args:
            index: row by word.
            vectors: [V, D]; of a tensor, only the rows that the sets need are copied from its device.

        Raises:
            ValueError: vectors that are not finite.
        """
        rows = np.array([row_of(index, word) for word in self._words])
        known = rows >= 0
        chosen = vectors[rows[known]]
        found = chosen.detach().float().cpu().numpy() if isinstance(chosen, Tensor) else chosen
        units = np.zeros((len(rows), found.shape[1]), dtype=np.float32)  # unknown words: cosine 0 with all
        units[known] = unit_rows(np.asarray(found, dtype=np.float32))
        scores = {name: self._score(pairs, units, known) for name, pairs in self._sets.items()}
        return WordSimilarityResult(scores, self.oov, str(self.source))

    def _score(self, pairs: _Pairs, units: np.ndarray, known: np.ndarray) -> WordSimilarityScore:
        cosines = np.einsum("nd,nd->n", units[pairs.left], units[pairs.right])
        both = known[pairs.left] & known[pairs.right]
        cosines[both & (pairs.left == pairs.right)] = 1  # rounding must not rank one word with itself above another
        counted = both if self.oov == "skip" else np.ones_like(both)
        enough = counted.sum() >= 2
        value = spearman(cosines[counted], pairs.scores[counted]) if enough else None
        return WordSimilarityScore(value, len(both), int(both.sum()))


def evaluate_word_similarity(vectors: WordVectors, source: str | Path, oov: str = "skip") -> WordSimilarityResult:
    """Spearman, pairs and coverage of word vectors on each set; see `WordSimilarity` for the arguments.

    Raises:
        DataError: sets that cannot be read, or no pair of which both words have a vector.
    """
    result = WordSimilarity(source, oov).measure(vectors.index, vectors.vectors)
    if not any(score.known for score in result.scores.values()):
        raise DataError(f"{source}: no pair of which both words are among the {len(vectors)} of the vocabulary")
    return result


def similarity_table(scores: Mapping[str, WordSimilarityScore], title: str) -> Table:
    """Scores by set, times 100, as a table of rich."""
    table = Table("set", "Spearman x 100", "pairs", "known", title=title)
    for name, score in scores.items():
        value = "-" if score.spearman is None else f"{100 * score.spearman:.2f}"
        table.add_row(name, value, str(score.pairs), str(score.known))
    return table


def _files(source: Path) -> dict[str, Path]:
    """Files by the name of the set."""
    if source.is_dir():
        files = {name: source / task.file for name, task in _TASKS.items() if (source / task.file).is_file()}
        if not files:
            expected = ", ".join(task.file for task in _TASKS.values())
            raise DataError(f"{source}: has none of {expected}; name the file of another set itself")
        return files
    if not source.is_file():
        raise DataError(f"{source}: no such file or folder; name one with lines word1 word2 score")
    return {next((name for name, task in _TASKS.items() if task.file == source.name), source.stem): source}


def _read_pairs(path: Path, places: dict[str, int]) -> _Pairs:
    """The pairs of one file; words that are new get the next place."""
    lines = utf8_lines(path.read_bytes(), path)
    left, right, scores = [], [], []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        score = _number(fields[-1])
        if len(fields) != 3 or not math.isfinite(score):
            raise DataError(
                f"{path}, line {number}: expected word1 word2 score, got {line.strip()!r:.80}; correct it, or put # "
                "before it if it is a comment"
            )
        left.append(places.setdefault(fields[0], len(places)))
        right.append(places.setdefault(fields[1], len(places)))
        scores.append(score)
    if len(set(scores)) < 2:
        raise DataError(f"{path}: {len(scores)} pairs hold fewer than 2 different scores; nothing to rank")
    return _Pairs(np.array(left), np.array(right), np.array(scores))


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        return math.nan
