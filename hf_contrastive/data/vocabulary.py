"""The words of a corpus with their counts, and the file they are kept in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hf_contrastive.errors import DataError
from hf_contrastive.files import whole_file, write_json

WORDS_FILE = "vocab.tsv"
TOTAL_FILE = "vocab_total.json"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words by falling count, ties in alphabetical order (of code points); a word's id is its place.

    Attributes:
        words: V words.
        counts: int64 [V], occurrences.
        total: running words of the corpus, those without an entry included.
    """

    words: list[str]
    counts: np.ndarray
    total: int

    def __post_init__(self) -> None:
        if len(self.words) != len(self.counts):
            raise ValueError(f"{len(self.words)} words do not fit {len(self.counts)} counts")

    @classmethod
    def choose(
        cls, words: Sequence[str], counts: np.ndarray, min_count: int, max_vocabulary: int | None = None
    ) -> tuple["Vocabulary", np.ndarray]:
        """The words that occur `min_count` times or more, the most frequent `max_vocabulary` of them.

        Args:
            words: the distinct words of a corpus, in any order.
            counts: of each.

        Returns:
            The vocabulary, and for each of its entries [V] the place in `words`.
        """
        frequent = sorted(np.flatnonzero(counts >= min_count).tolist(), key=words.__getitem__)
        order = np.array(frequent, dtype=np.int64)
        order = order[np.argsort(-counts[order], kind="stable")][:max_vocabulary]
        chosen = [words[place] for place in order.tolist()]
        return cls(chosen, counts[order].astype(np.int64), int(counts.sum())), order

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def index(self) -> dict[str, int]:
        """Id by word."""
        return {word: place for place, word in enumerate(self.words)}

    def save(self, folder: Path) -> None:
        """Write `vocab.tsv`, a line `word<TAB>count` an entry, no header, and `vocab_total.json`, `{"total": N}`.

        Raises:
            DataError: a word is empty or has white space in it: no word-vector format could hold it.
        """
        for word in self.words:
            if word.split() != [word]:
                raise DataError(f"word {word!r}: empty or with white space in it; correct the word tokenizer")
        write_json(folder / TOTAL_FILE, {"total": self.total})
        with whole_file(folder / WORDS_FILE) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
            lines = zip(self.words, self.counts.tolist(), strict=True)
            file.writelines(f"{word}\t{count}\n" for word, count in lines)

    @classmethod
    def load(cls, folder: Path) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            DataError: a file is missing or damaged; names file, line and remedy.
        """
        path, about = Path(folder) / WORDS_FILE, Path(folder) / TOTAL_FILE
        try:
            lines = path.read_bytes().decode("utf-8").split("\n")
            total = json.loads(about.read_text(encoding="utf-8"))["total"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder}: {WORDS_FILE} or {TOTAL_FILE} cannot be read ({error!r}); restore the folder"
            ) from error
        if lines.pop():
            raise DataError(f"{path}, line {len(lines) + 1}: ends without a line feed; restore the file")
        words, counts = [], []
        for number, line in enumerate(lines, start=1):
            word, tab, count = line.rpartition("\t")
            if not word or not count.isdecimal():
                raise DataError(f"{path}, line {number}: expected word<TAB>count, got {line!r:.60}; restore the file")
            words.append(word)
            counts.append(int(count))
        vocabulary = cls(words, np.array(counts, dtype=np.int64), int(total))
        if len(vocabulary.index) < len(words):
            twice = next(word for place, word in enumerate(words) if vocabulary.index[word] != place)
            raise DataError(f"{path}: word {twice!r} occurs twice; restore the file")
        return vocabulary
