"""Word vectors at rest: words, a float32 table, and what is asked of them. Plain numpy."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias, overload

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import safe_open

from hf_contrastive.errors import DataError
from hf_contrastive.models.word_files import first_not_finite, read_glove, read_word2vec, write_word2vec

Neighbours: TypeAlias = list[tuple[str, float]]  # words and cosines, the nearest first

_QUERIES = 256  # rows of the [Q, V] table of cosines held at a time
_TABLE = 2**22  # numbers of it held at a time: 16 MB


@dataclass(eq=False)
class WordVectors:
    """V words and their vectors.

    Args:
        words: V different words; sorted by falling count where `restrict_vocab` is to mean the most frequent.
        vectors: [V, D], kept as float32.
        counts: [V], how often each word occurred; `None` where that is not known.

    Attributes:
        index: row by word.

    Raises:
        DataError: shapes that do not fit, a word that occurs twice, or a vector that is not finite.
    """

    words: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None = None
    index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.words):
            raise DataError(f"vectors have shape {self.vectors.shape}, expected [{len(self.words)}, D]: a row a word")
        if not self.vectors.size:
            raise DataError("there are no words or no numbers in their vectors; a vocabulary has at least one word")
        bad = first_not_finite(self.vectors)
        if bad is not None:
            raise DataError(f"the vector of {self.words[bad]!r} has numbers that are not finite: the model diverged")
        if self.counts is not None and np.shape(self.counts) != (len(self.words),):
            raise DataError(f"counts have shape {np.shape(self.counts)}, expected [{len(self.words)}]: one a word")
        self.index = {word: row for row, word in enumerate(self.words)}
        if len(self.index) < len(self.words):
            row, word = next((row, word) for row, word in enumerate(self.words) if self.index[word] != row)
            raise DataError(f"the word {word!r} occurs twice, in rows {row} and {self.index[word]}; drop one")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector [D] of a word; `KeyError` where it has none."""
        return self.vectors[self.index[word]]

    def unit(self) -> np.ndarray:
        """Vectors [V, D] of length 1; one that is zero stays so."""
        return unit_rows(self.vectors)

    @overload
    def most_similar(self, queries: str, k: int = 10, exclude: Iterable[str] = ()) -> Neighbours: ...

    @overload
    def most_similar(self, queries: list[str], k: int = 10, exclude: Iterable[str] = ()) -> list[Neighbours]: ...

    @overload
    def most_similar(self, queries: np.ndarray, k: int = 10, exclude: Iterable[str] = ()) -> Any: ...

    def most_similar(
        self, queries: str | list[str] | np.ndarray, k: int = 10, exclude: Iterable[str] = ()
    ) -> Neighbours | list[Neighbours]:
        """The k words with the highest cosine; no more than 16 MB of the table of cosines is in memory at a time.

        Args:
            queries: a word or a vector [D]: its neighbours are returned; or Q words or vectors [Q, D]: a list for
                each. A word is not its own neighbour.
            k: how many; there are fewer where the vocabulary is smaller.
            exclude: words that are no answer to any query.

        Raises:
            DataError: a word without a vector.
            ValueError: vectors of another width, or k below 1.
        """
        if k < 1:
            raise ValueError(f"k must be positive, got {k}")
        banned = self._rows(exclude)
        if isinstance(queries, str):
            return self.most_similar([queries], k, exclude)[0]
        if isinstance(queries, np.ndarray):
            if queries.ndim not in (1, 2) or queries.shape[-1] != self.vectors.shape[1]:
                raise ValueError(f"queries have shape {queries.shape}, expected [{self.vectors.shape[1]}] or [Q, it]")
            found = self._nearest(np.atleast_2d(queries), k, [banned] * (1 if queries.ndim == 1 else len(queries)))
            return found[0] if queries.ndim == 1 else found
        rows = self._rows(queries)
        return self._nearest(self.vectors[rows], k, [[*banned, row] for row in rows])

    def analogy(self, a: str, b: str, c: str, k: int = 1) -> Neighbours:
        """The k words that are to `c` as `b` is to `a`, by 3CosAdd (Mikolov et al., 2013), none of the three included.

        Raises:
            DataError: a word without a vector.
        """
        x, y, z = unit_rows(self.vectors[self._rows([a, b, c])])
        return self._nearest((y - x + z)[np.newaxis], k, [self._rows([a, b, c])])[0]

    def save_word2vec(self, path: str | Path, binary: bool) -> None:
        """Write a file that gensim's `KeyedVectors.load_word2vec_format` reads; gzipped where it is called .gz.

        Raises:
            DataError: a word is empty or holds white space.
        """
        write_word2vec(path, self.words, self.vectors, binary)

    @classmethod
    def load_word2vec(cls, path: str | Path, binary: bool) -> Self:
        """Read a file of word2vec, gensim or `save_word2vec`; see `read_word2vec`."""
        return cls(*read_word2vec(path, binary))

    @classmethod
    def load_glove(cls, path: str | Path) -> Self:
        """Read a text without a first line `V D`, as GloVe writes it; see `read_glove`."""
        return cls(*read_glove(path))

    @classmethod
    def from_model_folder(cls, name_or_path: str | Path, revision: str = "main") -> Self:
        """The input table of a `WordEmbeddingModel`, from its folder or its repository on the Hub.

        Raises:
            DataError: no such folder or repository, a file is missing, or vocabulary and table do not fit.
        """
        folder = Path(name_or_path)
        if not folder.is_dir():
            patterns = ["vocab.tsv", "model.safetensors"]
            try:
                folder = Path(snapshot_download(str(name_or_path), revision=revision, allow_patterns=patterns))
            except (HfHubHTTPError, OSError, ValueError) as error:
                raise DataError(
                    f"{name_or_path}: no such folder, and the Hub gave nothing of this name ({type(error).__name__}); "
                    "name a folder that `hf-contrastive train` left as final/"
                ) from error
        for name in ("vocab.tsv", "model.safetensors"):
            if not (folder / name).is_file():
                raise DataError(f"{folder}: has no {name}; name a folder that `hf-contrastive train` left as final/")
        lines = (folder / "vocab.tsv").read_text(encoding="utf-8").splitlines()
        words, counts = zip(*(line.rsplit("\t", 1) for line in lines), strict=True)
        with safe_open(folder / "model.safetensors", framework="numpy") as file:
            return cls(list(words), file.get_tensor("input_embeddings"), np.array(counts, dtype=np.int64))

    def _rows(self, words: Iterable[str]) -> list[int]:
        words = list(words)
        unknown = [word for word in words if word not in self.index]
        if unknown:
            raise DataError(
                f"no vector for {', '.join(map(repr, unknown[:5]))} among {len(self)} words; is the case right?"
            )
        return [self.index[word] for word in words]

    def _nearest(self, queries: np.ndarray, k: int, banned: Sequence[Collection[int]]) -> list[Neighbours]:
        found: list[Neighbours] = []
        for start in range(0, len(queries), _QUERIES):
            block = slice(start, start + _QUERIES)
            ids, cosines = self._nearest_of_block(unit_rows(queries[block].astype(np.float32)), k, banned[block])
            for row, scores in zip(ids, cosines.tolist(), strict=True):
                pairs = zip(row, scores, strict=True)
                found.append([(self.words[at], score) for at, score in pairs if score > -np.inf])
        return found

    def _nearest_of_block(
        self, queries: np.ndarray, k: int, banned: Sequence[Collection[int]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows [Q, k] and cosines [Q, k] for unit queries [Q, D]; -inf where there were no k words."""
        who = np.repeat(np.arange(len(queries)), [len(rows) for rows in banned])
        what = np.array([row for rows in banned for row in rows], dtype=np.int64)
        ids, best = np.empty((len(queries), 0), dtype=np.int64), np.empty((len(queries), 0), dtype=np.float32)
        step = max(1, _TABLE // len(queries))
        for start in range(0, len(self), step):
            cosines = queries @ unit_rows(self.vectors[start : start + step]).T
            here = (what >= start) & (what < start + step)
            cosines[who[here], what[here] - start] = -np.inf
            kept = min(k, cosines.shape[1])
            columns = np.argpartition(cosines, -kept, axis=1)[:, -kept:]
            ids = np.concatenate([ids, columns + start], axis=1)
            best = np.concatenate([best, np.take_along_axis(cosines, columns, axis=1)], axis=1)
            order = np.lexsort((ids, -best), axis=1)[:, :k]
            ids, best = np.take_along_axis(ids, order, axis=1), np.take_along_axis(best, order, axis=1)
        return ids, best


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows [N, D] divided by their lengths; a row that is zero stays so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def row_of(index: Mapping[str, int], word: str) -> int:
    """The row of a word as it is written, else in lower case; -1 where neither has one."""
    row = index.get(word)
    return index.get(word.lower(), -1) if row is None else row
