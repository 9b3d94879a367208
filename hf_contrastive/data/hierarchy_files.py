"""Pairs (child, ancestor) of a hierarchy out of files, and their transitive closure; all of it in whole arrays."""

import gzip
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from pyarrow import csv

from hf_contrastive.errors import DataError
from hf_contrastive.files import utf8_lines

logger = logging.getLogger(__name__)

PAIRS_FILE, NAMES_FILE = "hypernyms_closure.tsv", "synset_names.txt"
COLUMNS = ("child", "ancestor", "paths")
_MOST_PATHS = 1 << 40  # between two concepts; far from where int64 would overflow


@dataclass(frozen=True, eq=False)
class Edges:
    """Distinct pairs.

    Attributes:
        names: of the concepts; a concept's id is its place.
        pairs: int64 [N, 2], (child, ancestor), by child, then ancestor.
        counts: int64 [N], what each pair counts: its paths where those are known, else the lines it stands in.
        counted: whether `counts` are paths.
        source: where they were read.
    """

    names: list[str]
    pairs: np.ndarray
    counts: np.ndarray
    counted: bool
    source: Path


def read_edges(source: str | Path) -> Edges:
    """Read a folder (`hypernyms_closure.tsv` and `synset_names.txt`) or a file of pairs; each may be gzipped.

    Args:
        source: a folder, whose pairs are 0-based lines of the names; or a file of lines child<TAB>ancestor, names
            without quoting. A third column, if there is one, counts the paths between the two. A first line
            child<TAB>ancestor(<TAB>paths) is taken for a header.

    Raises:
        DataError: a file is missing, damaged or not UTF-8; a line that is not a pair, a number that is no line of the
            names, a concept above itself, or two concepts above each other.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        return _distinct(*_named(path), path)
    pairs_path, names_path = (_file_in(path, name) for name in (PAIRS_FILE, NAMES_FILE))
    names = _names(names_path)
    return _distinct(names, *_numbered(pairs_path, len(names), names_path), pairs_path)


def closed(edges: Edges) -> Edges:
    """Every pair that a chain of the given pairs joins, with the number of chains.

    Raises:
        DataError: a cycle, or more than 2^40 paths between two concepts.
    """
    from scipy import sparse  # slow to import, and only needed here

    if edges.counted:
        raise DataError(f"{edges.source}: has a count of paths, so it is closed already; leave close out")
    size = len(edges.names)
    step = sparse.csr_array((np.ones(len(edges.pairs), dtype=np.int64), edges.pairs.T), shape=(size, size))
    chains = total = step
    while chains.nnz:
        chains = chains @ step
        below_itself = np.flatnonzero(chains.diagonal())
        if len(below_itself):
            raise DataError(
                f"{edges.source}: {edges.names[below_itself[0]]!r} is above itself by a chain of pairs; "
                "remove one of them, an order has no cycles"
            )
        if chains.nnz and chains.data.max() > _MOST_PATHS:
            raise DataError(f"{edges.source}: more than 2^40 paths between two concepts; use pairs that are closed")
        total = total + chains
    total = total.tocsr()
    total.sort_indices()
    pairs = np.stack(total.tocoo().coords, 1).astype(np.int64)
    logger.info("%s: %s pairs, closed: %s", edges.source, f"{len(edges.pairs):,}", f"{len(pairs):,}")
    return replace(edges, pairs=pairs, counts=total.data, counted=True)


def among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of `keys` [N] are among the ascending `known`; `np.isin` hashes both, five times as slow."""
    places = np.searchsorted(known, keys)
    return known[np.minimum(places, len(known) - 1)] == keys


def _file_in(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(
        f"{folder}: no {name} or {name}.gz in it; put it there, or name a file of pairs child<TAB>ancestor"
    )


def _content(path: Path) -> bytes:
    """The whole file, unpacked."""
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; correct the path")
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); restore or decompress the file anew") from error
    return raw.removeprefix(b"\xef\xbb\xbf")


def _names(path: Path) -> list[str]:
    lines = utf8_lines(_content(path), path)
    if not lines[-1]:
        lines.pop()  # what follows the last line's end
    names = [line.removesuffix("\r") for line in lines]
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise DataError(f"{path}, line {number}: no name; ids are line numbers, so give every line its name")
        if seen.setdefault(name, number) != number:
            raise DataError(f"{path}, line {number}: {name!r} also stands in line {seen[name]}; rename one of them")
    return names


def _numbered(path: Path, size: int, names_path: Path) -> tuple[np.ndarray, np.ndarray | None, int]:
    columns, first_line = _columns(path, pa.int64())
    pairs = np.stack([column.to_numpy() for column in columns[:2]], 1)
    row = _first(((pairs < 0) | (pairs >= size)).any(axis=1))
    if row is not None:
        raise DataError(
            f"{path}, line {first_line + row}: {pairs[row].tolist()} are not both among the {size:,} lines (from 0) "
            f"of {names_path.name}; use the names that belong to these pairs"
        )
    return pairs, _paths(columns, path, first_line), first_line


def _named(path: Path) -> tuple[list[str], np.ndarray, np.ndarray | None, int]:
    columns, first_line = _columns(path, pa.string())
    both = pa.chunked_array(columns[0].chunks + columns[1].chunks)
    encoded = pc.unique(both)  # in the order they come up
    pairs = pc.index_in(both, value_set=encoded).to_numpy().astype(np.int64).reshape(2, -1).T
    names: list[str] = encoded.to_pylist()
    blank = [place for place, name in enumerate(names) if not name.strip()]
    row = _first(np.isin(pairs, blank).any(axis=1))
    if row is not None:
        raise DataError(f"{path}, line {first_line + row}: a name is empty; fill it in or drop the line")
    return names, pairs, _paths(columns, path, first_line), first_line


def _paths(columns: Sequence[pa.ChunkedArray], path: Path, first_line: int) -> np.ndarray | None:
    if len(columns) == 2:
        return None
    paths: np.ndarray = columns[2].to_numpy()
    row = _first(paths < 1)
    if row is not None:
        raise DataError(f"{path}, line {first_line + row}: {paths[row]} paths; a pair has one at least")
    return paths


def _columns(path: Path, kind: pa.DataType) -> tuple[list[pa.ChunkedArray], int]:
    """Two columns of `kind`, a third of numbers if it is there, and the number of the first line."""
    raw = _content(path)
    first = raw[: raw.find(b"\n") + 1 or None].rstrip(b"\r\n").split(b"\t")
    header = [field.decode("utf-8", "replace") for field in first] in (list(COLUMNS[:2]), list(COLUMNS))
    types = dict(zip(COLUMNS, (kind, kind, pa.int64()), strict=True))
    names = COLUMNS[: 3 if len(first) == 3 else 2]
    try:
        table = csv.read_csv(
            pa.BufferReader(raw),
            csv.ReadOptions(column_names=names, skip_rows=int(header), use_threads=False),
            csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
    except (pa.ArrowException, ValueError) as error:
        _explain(path, raw, names, kind == pa.int64(), header)
        raise DataError(f"{path}: cannot be read ({error}); expected lines {'<TAB>'.join(names)}") from error
    return table.columns, 1 + header


def _explain(path: Path, raw: bytes, names: Sequence[str], numbered: bool, header: bool) -> None:
    """Find the first line that the fast reader cannot have read; raises `DataError`."""
    if not raw.strip():
        raise DataError(f"{path}: no pairs; fill the file or name another one")
    for number, line in enumerate(raw.removesuffix(b"\n").split(b"\n")[header:], start=1 + header):
        try:
            text = line.decode("utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number}: byte {error.start + 1} is not UTF-8; save it as UTF-8") from None
        fields = text.split("\t")
        numbers = fields[0 if numbered else 2 :]
        # A carriage return inside of a line ends it for the fast reader.
        if len(fields) != len(names) or "\r" in text or not all(_is_int64(field) for field in numbers):
            raise DataError(
                f"{path}, line {number}: expected {'<TAB>'.join(names)}{', all of them numbers' * numbered}, "
                f"got {text!r:.80}; correct the line"
            )


def _is_int64(field: str) -> bool:
    digits = field.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and abs(int(field)) < 1 << 63


def _first(bad: Any) -> int | None:
    """The first place that is bad."""
    places = np.flatnonzero(bad)
    return int(places[0]) if len(places) else None


def _distinct(names: list[str], pairs: np.ndarray, paths: np.ndarray | None, first_line: int, path: Path) -> Edges:
    """Sort the pairs of the lines and count those that stand in several."""
    if not len(pairs):
        raise DataError(f"{path}: no pairs; fill the file or name another one")
    child, ancestor = pairs.T
    keys = child * len(names) + ancestor
    found, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    row = _first(among(ancestor * len(names) + child, found))
    if row is not None:
        below, above = names[child[row]], names[ancestor[row]]
        raise DataError(
            f"{path}, line {first_line + row}: "
            + (f"{below!r} above itself" if below == above else f"{below!r} and {above!r} stand above each other")
            + "; drop one of the pairs, an order has no cycles"
        )
    if len(found) < len(keys):
        logger.info("%s: %s lines repeat a pair", path, f"{len(keys) - len(found):,}")
    if paths is not None:
        counts = np.zeros(len(found), dtype=np.int64)
        np.add.at(counts, places, paths)
    distinct = np.stack(np.divmod(found, len(names)), 1)
    return Edges(names, distinct, counts.astype(np.int64), paths is not None, path)
