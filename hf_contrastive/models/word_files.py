"""Word vectors as files: word2vec's text and binary formats and GloVe's text, gzipped where a name ends in .gz.

word2vec begins with a line `V D`. In text each word has a line, `word x1 ... xD`. In binary, little-endian float32
numbers follow the word and a space, then a line feed. GloVe's text has no first line. Numbers are written in the
fewest digits that give the same float32 back.
"""

import gzip
import logging
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from tqdm.auto import tqdm

from hf_contrastive.errors import DataError
from hf_contrastive.files import whole_file

logger = logging.getLogger(__name__)

WordsAndVectors: TypeAlias = tuple[list[str], np.ndarray]  # V words, float32 [V, D]

_ROWS = 1024  # rows made text at a time
_CHUNK = 2**20  # bytes read at a time
_LONGEST_HEADER = 64  # bytes


def write_word2vec(path: str | Path, words: Sequence[str], vectors: np.ndarray, binary: bool) -> None:
    """Write V words and float32 [V, D] as a whole file.

    Raises:
        DataError: a word is empty or holds white space, which ends a word in these formats.
    """
    path = Path(path)
    for row, word in enumerate(words):
        if word.split() != [word]:
            raise DataError(
                f"{path}: word {row} of the vocabulary, {word!r}, is empty or holds white space, which the word2vec "
                "format cannot say; rename or drop it"
            )
    with whole_file(path) as partial, _open(partial, "wb", _is_gzip(path)) as file, _bar("write", len(words)) as bar:
        file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
        for start in range(0, len(words), _ROWS):
            rows = vectors[start : start + _ROWS]
            numbers = (row.tobytes() for row in rows.astype("<f4")) if binary else map(b" ".join, rows.astype("S32"))
            file.writelines(
                word.encode() + b" " + row + b"\n"
                for word, row in zip(words[start : start + _ROWS], numbers, strict=True)
            )
            bar.update(len(rows))


def read_word2vec(path: str | Path, binary: bool) -> WordsAndVectors:
    """Words and float32 [V, D] of a word2vec file; of a word that occurs twice the first vector, as gensim does.

    Raises:
        DataError: the file cannot be read, is damaged or is of another format; the message names line or word.
    """
    path = Path(path)
    with _reading(path) as file:
        size, width = _header(path, file.readline(_LONGEST_HEADER))
        if binary:
            return _checked(path, *_read_binary(path, file, size, width))
        words, vectors = _read_text(path, enumerate(file, start=2), width, size)
    if len(words) != size:
        raise DataError(
            f"{path}: line 1 says {size} words, {len(words)} lines follow; get the file anew or correct it"
        )
    return _checked(path, words, vectors)


def read_glove(path: str | Path) -> WordsAndVectors:
    """Words and float32 [V, D] of a text without a first line `V D`; D is that of the first line.

    Words may hold spaces, as some of GloVe's do.

    Raises:
        DataError: see `read_word2vec`.
    """
    path = Path(path)
    with _reading(path) as file:
        first = file.readline()
        fields = first.split()
        if len(fields) < 2:
            raise DataError(f"{path}, line 1: expected a word and its numbers, got {first[:50]!r}")
        if len(fields) == 2 and all(field.isdigit() for field in fields):
            raise DataError(f"{path}, line 1: {first.decode().strip()!r} is word2vec's first line; use load_word2vec")
        lines = enumerate(_chained(first, file), start=1)
        return _checked(path, *_read_text(path, lines, len(fields) - 1, None))


def _read_text(path: Path, lines: Iterable[tuple[int, bytes]], width: int, size: int | None) -> WordsAndVectors:
    """Words and [n, D]; `size` is None where words may hold spaces and nothing says how many there are."""
    words = []
    numbers = array("f")
    for number, line in _bar("read", size, lines):
        word, *fields = line.rstrip().rsplit(b" ", width)
        if len(fields) != width or (b" " in word and (size is not None or _is_number(word.rsplit(b" ")[-1]))):
            found = len(line.split(b" "))
            raise DataError(
                f"{path}, line {number}: expected a word and {width} numbers, a space between; got {found}"
            )
        try:
            words.append(word.decode())
            numbers.extend(map(float, fields))
        except UnicodeDecodeError:
            raise DataError(f"{path}, line {number}: the word {word[:50]!r} is not UTF-8; convert the file") from None
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; is the file binary?") from None
    return words, np.frombuffer(numbers, dtype=np.float32).reshape(len(words), width)


def _read_binary(path: Path, file: IO[bytes], size: int, width: int) -> WordsAndVectors:
    length = 4 * width
    if not _is_gzip(path) and path.stat().st_size < size * length:
        raise DataError(f"{path}: too short for {size} binary vectors of {width} numbers; get it anew, or is it text?")
    words, vectors = [], np.empty((size, width), dtype=np.float32)
    chunk, at = b"", 0
    for row in _bar("read", size, range(size)):
        space = chunk.find(b" ", at)
        while space < 0 or len(chunk) < space + 1 + length:
            more = file.read(_CHUNK)
            if not more:
                raise DataError(f"{path}: ends in word {row} of {size}; get the file anew, or is it text?")
            chunk, at = chunk[at:] + more, 0
            space = chunk.find(b" ")
        word = chunk[at:space].lstrip(b"\n")
        try:
            words.append(word.decode())
        except UnicodeDecodeError:
            raise DataError(
                f"{path}: word {row}, {word[:50]!r}, is not UTF-8; convert the file, or is it text?"
            ) from None
        vectors[row] = np.frombuffer(chunk, "<f4", width, space + 1)
        at = space + 1 + length
    if (chunk[at:] + file.read(2)).strip(b"\n"):
        raise DataError(f"{path}: goes on after the {size} words that line 1 says; get it anew, or is it text?")
    return words, vectors


def _checked(path: Path, words: list[str], vectors: np.ndarray) -> WordsAndVectors:
    if not words:
        raise DataError(f"{path}: no words; name another file")
    bad = first_not_finite(vectors)
    if bad is not None:
        raise DataError(f"{path}: the vector of {words[bad]!r} has numbers that are not finite; get the file anew")
    first: dict[str, int] = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    if len(first) < len(words):
        logger.warning("%s: left out %d of %d words that occurred before", path, len(words) - len(first), len(words))
        return list(first), vectors[list(first.values())]
    return words, vectors


def first_not_finite(vectors: np.ndarray) -> int | None:
    """The first row of [V, D], V > 0, that holds a NaN or an infinity."""
    if np.isfinite(vectors.min()) and np.isfinite(vectors.max()):  # no table of V x D booleans
        return None
    return int(np.isfinite(vectors).all(axis=1).argmin())


def _header(path: Path, line: bytes) -> tuple[int, int]:
    fields = line.split()
    if not (line.endswith(b"\n") and len(fields) == 2 and all(field.isdigit() for field in fields)):
        raise DataError(
            f"{path}, line 1: expected the numbers of words and of dimensions, got {line[:50]!r}; "
            "a text without such a line is read by load_glove"
        )
    size, width = int(fields[0]), int(fields[1])
    if not size or not width:
        raise DataError(f"{path}, line 1: {size} words of {width} dimensions; name another file")
    return size, width


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_gzip(path: Path) -> bool:
    return path.suffix == ".gz"


def _open(path: Path, mode: str, zipped: bool) -> IO[bytes]:
    opened: Any = gzip.open(path, mode, compresslevel=6) if zipped else open(path, mode)
    return opened


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with _open(path, "rb", _is_gzip(path)) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file anew") from error


def _chained(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _bar(verb: str, total: int | None, items: Iterable[Any] | None = None) -> Any:
    """A progress bar with the rate and the time left, for what takes more than two seconds."""
    return tqdm(items, desc=verb, total=total, unit="words", delay=2, leave=False)
