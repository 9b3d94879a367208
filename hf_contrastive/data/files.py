"""Local files into rows: text, CSV, TSV and JSON lines (each also gzipped) and Parquet, every row checked.

Lines are counted as an editor shows them (the header is line 1); Parquet has no lines, its rows are counted from 0.
"""

import csv
import glob
import gzip
import json
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from hf_contrastive.data.columns import quoted, require_columns
from hf_contrastive.errors import DataError, nearest

logger = logging.getLogger(__name__)

# Where the row stands ("pairs.tsv, line 17") and its cells by column name.
Row = tuple[str, dict[str, Any]]

TEXT_FORMATS = (".txt", ".csv", ".tsv", ".jsonl", ".json")
KNOWN_SUFFIXES = (*TEXT_FORMATS, *(f"{suffix}.gz" for suffix in TEXT_FORMATS), ".parquet")


def find_files(pattern: str | Path) -> list[Path]:
    """The file of that name, or the files that a glob such as `data/*.tsv` matches, sorted.

    Raises:
        DataError: nothing there, a folder, a format that is not known, or files with different columns.
    """
    name = str(Path(pattern).expanduser())
    if Path(name).exists():
        paths = [Path(name)]
    elif glob.has_magic(name):
        paths = sorted(path for path in map(Path, glob.glob(name, recursive=True)) if path.is_file())
    else:
        raise DataError(_missing(Path(name)))
    if not paths:
        raise DataError(f"{pattern}: no file matches; correct the pattern")
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path}: is a folder; name a file in it or a pattern such as {path}/*.tsv")
        file_format(path)
    first = column_names(paths[0])
    for path in paths[1:]:
        columns = column_names(path)
        if set(columns) != set(first):
            raise DataError(
                f"{path}: columns {quoted(columns)} differ from {quoted(first)} of {paths[0]}; "
                f"give all files the same columns or name fewer files"
            )
    return paths


def file_format(path: Path) -> str:
    """`".tsv"` for `x.tsv` and `x.TSV.gz`; `DataError` where the suffix is not known."""
    name = path.name.lower()
    for suffix in KNOWN_SUFFIXES:
        if name.endswith(suffix):
            return suffix.removesuffix(".gz")
    raise DataError(f"{path}: format not known; name it after what it holds, one of {', '.join(KNOWN_SUFFIXES)}")


def column_names(path: Path) -> list[str]:
    """Column names: `["text"]`, the header line, the keys of the first JSON object, or the Parquet schema."""
    match file_format(path):
        case ".txt":
            names = ["text"]
        case ".parquet":
            with _open_parquet(path) as file:
                names = file.schema_arrow.names
        case ".json" | ".jsonl":
            names = list(next(_read_json(path, ()), ("", {}))[1])
        case _:
            names = _header(path, _table_reader(path))
    if not names:
        raise DataError(f"{path}: no columns; fill the file or name another one")
    return names


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yields every row of one file as (place, cells by column name); the cells hold at least `columns`.

    A key that a JSON object lacks is absent from the cells. Blank lines of a .txt file are skipped and counted.

    Raises:
        DataError: a column of `columns` is missing, a row has too few or too many fields, a line is not JSON, bytes
            are not UTF-8, the file is damaged, or there is no row at all.
    """
    require_columns(columns, column_names(path), str(path))
    row = None
    for row in READERS[file_format(path)](path, columns):
        yield row
    if row is None:
        raise DataError(f"{path}: no rows; fill the file or name another one")


def _missing(path: Path) -> str:
    """What to say of a file that does not exist: the nearest name beside it."""
    if not path.parent.is_dir():
        return f"{path}: no such file; the folder {path.parent} does not exist, correct the path"
    near = nearest(path.name, (entry.name for entry in path.parent.iterdir()))
    return f"{path}: no such file; " + (f"did you mean {path.parent / near}?" if near else "correct the path")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with their line ends; only a line feed ends a line, as in an editor."""
    offset = 0
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    line = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{path}, line {number}: byte 0x{raw[error.start]:02x} at offset {offset + error.start} "
                        f"is not UTF-8; save the file as UTF-8"
                    ) from None
                offset += len(raw)
                yield number, line.removeprefix("\ufeff") if number == 1 else line
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); restore or decompress the file anew") from error


def _read_text(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    blank = 0
    for number, line in _lines(path):
        if line.isspace():
            blank += 1
            continue
        yield f"{path}, line {number}", {"text": line.rstrip("\r\n")}
    if blank:
        logger.info("%s: skipped %s blank lines", path, f"{blank:,}")


def _table_reader(path: Path) -> Any:
    lines = (line for _, line in _lines(path))
    if file_format(path) == ".tsv":
        return csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    # strict: a quotation mark that is never closed would otherwise swallow the rest of the file in silence.
    return csv.reader(lines, strict=True)


def _fields(path: Path, reader: Any) -> Iterator[tuple[str, list[str]]]:
    """Where a row begins, and its fields; a quoted field may run over several lines."""
    while True:
        where = f"{path}, line {reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{where}: {error}; check the quotation marks and line ends of this row") from None
        yield where, fields


def _header(path: Path, reader: Any) -> list[str]:
    where, header = next(_fields(path, reader), (str(path), []))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{where}: column {quoted(twice)} occurs twice in the header; rename one")
    return header


def _read_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    reader = _table_reader(path)
    header = _header(path, reader)
    for where, fields in _fields(path, reader):
        if len(fields) != len(header):
            raise DataError(
                f"{where}: expected {len(header)} fields, got {len(fields)}; "
                f"give it one field for each of {quoted(header)} or remove the line"
            )
        yield where, dict(zip(header, fields, strict=True))


def _read_json(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{where}: not JSON ({error.msg} at character {error.pos + 1}); write one complete object a line"
            ) from None
        if not isinstance(record, dict):
            raise DataError(f"{where}: expected a JSON object, got {type(record).__name__}; write one object a line")
        yield where, record


@contextmanager
def _open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); restore the file") from error


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    number = 0
    with _open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=1000, columns=list(columns)):
            for record in batch.to_pylist():
                yield f"{path}, row {number} (counted from 0)", record
                number += 1


READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[Row]]] = {
    ".txt": _read_text,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".parquet": _read_parquet,
}
