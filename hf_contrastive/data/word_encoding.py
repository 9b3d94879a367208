"""Text into word ids on disk, in one pass over the text and two over numbers.

Words are numbered as they come up; when all are counted, the vocabulary is chosen and the numbers are exchanged for
its ids. So the text, which may be a stream, is read and split once, and memory holds the distinct words and a block.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from tqdm.auto import tqdm

from hf_contrastive.data.texts import TextSource
from hf_contrastive.data.vocabulary import Vocabulary
from hf_contrastive.data.word_tokenizers import WordTokenizer
from hf_contrastive.errors import DataError

IDS_FILE, STARTS_FILE = "ids.npy", "starts.npy"
_NUMBERS_FILE, _ENDS_FILE = "numbers.npy", "ends.npy"
_PIECE = 1 << 20  # characters that are split into words at a time
_BLOCK = 1 << 22  # numbers that are exchanged for ids at a time
_SPACE = re.compile(r"\s")


def encode_words(
    source: TextSource,
    split: WordTokenizer,
    folder: Path,
    min_count: int,
    max_vocabulary: int | None = None,
    max_rows: int | None = None,
) -> dict[str, int]:
    """Write `ids.npy`, `starts.npy` (see `WordCorpus`) and the vocabulary into `folder`.

    Args:
        split: one line to its words.
        folder: exists and is empty.

    Returns:
        What was read, kept and left out, by name.

    Raises:
        DataError: no words, or fewer than two in the vocabulary.
    """
    words, counted = _number(source, split, folder, max_rows)
    if not words:
        raise DataError(f"{source.name}: there is no word in it by the rule of its word tokenizer; choose another one")
    numbers, ends = (np.load(folder / name, mmap_mode="r") for name in (_NUMBERS_FILE, _ENDS_FILE))
    counts = np.zeros(len(words), dtype=np.int64)
    for block in _blocks(numbers):
        counts += np.bincount(block, minlength=len(words))
    vocabulary, order = Vocabulary.choose(words, counts, min_count, max_vocabulary)
    if len(vocabulary) < 2:
        raise DataError(
            f"{source.name}: of {len(words):,} distinct words {len(vocabulary)} occur min_count = {min_count} times "
            f"or more, and a vocabulary needs two; lower min_count or add text"
        )
    ids_of = np.full(len(words), -1, dtype=np.int32)
    ids_of[order] = np.arange(len(order))
    written, sentences = _encode(numbers, ends, ids_of, folder)
    vocabulary.save(folder)
    del numbers, ends  # no file is removed while it is mapped
    for name in (_NUMBERS_FILE, _ENDS_FILE):
        (folder / name).unlink()
    rare, capped = counts < min_count, (counts >= min_count) & (ids_of < 0)
    return counted | {
        "sentences": sentences,
        "sentences_left_out": counted["lines"] - counted["lines_without_word"] - sentences,
        "running_words": vocabulary.total,
        "ids": written,
        "vocabulary": len(vocabulary),
        "rare_words": int(rare.sum()),
        "rare_occurrences": int(counts[rare].sum()),
        "capped_words": int(capped.sum()),
        "capped_occurrences": int(counts[capped].sum()),
    }


def _number(
    source: TextSource, split: WordTokenizer, folder: Path, max_rows: int | None
) -> tuple[list[str], dict[str, int]]:
    """Write each running word's number and where lines end; returns the words by number, and counts of lines."""
    index: defaultdict[str, int] = defaultdict()
    index.default_factory = index.__len__  # a new word's number is that of the words before it
    reader, size = _Reader(islice(source, max_rows)), source.size()
    wordless = last_end = 0
    with (
        _ArrayFile(folder / _NUMBERS_FILE, np.int32) as numbers,
        _ArrayFile(folder / _ENDS_FILE, np.int64) as ends,
        tqdm(desc="count words", unit="words", unit_scale=True) as bar,
    ):
        for texts, complete in reader.batches():
            words = [split(text) for text in texts]
            positions = len(numbers) + np.cumsum([len(part) for part in words], dtype=np.int64)
            known = map(index.__getitem__, chain.from_iterable(words))
            numbers.append(np.fromiter(known, np.int32, int(positions[-1]) - len(numbers)))
            line_ends = positions[complete]
            wordless += int((np.diff(line_ends, prepend=last_end) == 0).sum())
            last_end = int(line_ends[-1]) if len(line_ends) else last_end
            ends.append(line_ends)
            # How far it is in words is not known; the share of the text, or of the rows, that was read tells.
            share = max(reader.bytes / size if size else 0.0, reader.rows / max_rows if max_rows else 0.0)
            bar.total = round(len(numbers) / share) if 0 < share <= 1 else None
            bar.update(len(numbers) - bar.n)
        counted = {"rows": reader.rows, "lines": len(ends), "lines_without_word": wordless}
    return list(index), counted


def _encode(numbers: np.ndarray, ends: np.ndarray, ids_of: np.ndarray, folder: Path) -> tuple[int, int]:
    """Exchange numbers for ids, -1 left out, and lines that become empty with them; returns ids and sentences."""
    done = last_end = 0
    with (
        _ArrayFile(folder / IDS_FILE, np.int32) as ids,
        _ArrayFile(folder / STARTS_FILE, np.int64) as starts,
        tqdm(total=len(numbers), desc="encode words", unit="words", unit_scale=True) as bar,
    ):
        starts.append(np.zeros(1, dtype=np.int64))
        for block in _blocks(numbers):
            block_ids = ids_of[block]
            known = block_ids >= 0
            first, behind = np.searchsorted(ends, [done, done + len(block)], side="right")
            kept = np.concatenate([[0], np.cumsum(known)])
            block_ends = len(ids) + kept[ends[first:behind] - done]
            block_ends = block_ends[np.diff(block_ends, prepend=last_end) > 0]
            last_end = int(block_ends[-1]) if len(block_ends) else last_end
            ids.append(block_ids[known])
            starts.append(block_ends)
            done += len(block)
            bar.update(len(block))
        return len(ids), len(starts) - 1


def _blocks(numbers: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(numbers), _BLOCK):
        yield numbers[start : start + _BLOCK]


class _Reader:
    """Rows in batches of about `_PIECE` characters; a longer line is cut at white space."""

    def __init__(self, rows: Iterable[str]) -> None:
        self._rows = rows
        self.rows = 0
        self.bytes = 0

    def batches(self) -> Iterator[tuple[list[str], list[bool]]]:
        """Texts, and of each whether a line ends with it."""
        texts: list[str] = []
        complete: list[bool] = []
        room = _PIECE
        for text, ends in self._pieces():
            texts.append(text)
            complete.append(ends)
            room -= len(text) + 1
            if room <= 0:
                yield texts, complete
                texts, complete, room = [], [], _PIECE
        if texts:
            yield texts, complete

    def _pieces(self) -> Iterator[tuple[str, bool]]:
        for row in self._rows:
            self.rows += 1
            self.bytes += len(row.encode()) + 1  # with the line feed
            for line in row.split("\n"):  # a cell of a table may hold several
                start = 0
                while len(line) - start > _PIECE and (space := _SPACE.search(line, start + _PIECE)):
                    yield line[start : space.start()], False
                    start = space.start()
                yield line[start:] if start else line, True


class _ArrayFile:
    """A .npy file of one axis, written part by part; NumPy leaves room in the header for the length."""

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self._dtype = np.dtype(dtype)
        self._file = path.open("wb")
        self._length = 0
        self._write_header()

    def __len__(self) -> int:
        return self._length

    def append(self, part: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(part, self._dtype).data)
        self._length += len(part)

    def _write_header(self) -> None:
        self._file.seek(0)
        header = {"descr": dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._length,)}
        write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._write_header()
