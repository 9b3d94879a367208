"""Texts to be encoded or searched, a row each, with the id that the user's own data gives them."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from hf_contrastive.arguments import DataArguments
from hf_contrastive.data.columns import is_blank, quoted, require_columns, text_cell
from hf_contrastive.data.files import column_names, find_files, read_rows
from hf_contrastive.data.loading import cached_from_files, first_rows, is_local, load_from_hub
from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)


def load_passages(
    source: str,
    columns: Sequence[str] = (),
    id_column: str | None = None,
    *,
    data_name: str | None = None,
    split: str = "train",
    max_rows: int | None = None,
) -> Dataset:
    """Read and check texts; cached by `datasets` under the files' paths, sizes and times of change.

    Args:
        source: file, glob or Hub name.
        columns: that hold the text; several are joined by a space, blank cells among them left out. Default: `text`,
            or the only column beside the id.
        id_column: kept as text in `id`.
        data_name, split: of a Hub dataset.
        max_rows: only the first rows.

    Returns:
        Columns `text` and, with `id_column`, `id`. Blank lines of a text file are skipped and counted.

    Raises:
        DataError: data or a column that is not there, a row without text or id, or an id that occurs twice.
    """
    if is_local(source):
        if data_name is not None:
            raise DataError(f"data_name: {source} is a file, which has no configurations; leave it out")
        paths = find_files(source)
        chosen = _choose(columns, id_column, column_names(paths[0]), str(paths[0]))
        data = cached_from_files(_read, paths, _features(id_column), {"columns": chosen, "id_column": id_column})
    else:
        hub = load_from_hub(DataArguments(train_data=source, train_data_name=data_name, train_split=split))
        assert isinstance(hub, Dataset)
        chosen = _choose(columns, id_column, hub.column_names, source)
        wanted = list(dict.fromkeys([*chosen, *([id_column] if id_column else [])]))
        data = hub.select_columns(wanted).map(
            _check,
            with_indices=True,
            remove_columns=wanted,
            features=_features(id_column),
            fn_kwargs={"columns": chosen, "id_column": id_column, "name": source},
            desc="Checking rows",
        )
    if max_rows is not None:
        data = first_rows(data, max_rows, "max_rows")
    if id_column is not None:
        _refuse_repeated(data["id"][:], f"{source}, column {id_column!r}")
    logger.info("%s: %s rows, text of %s", source, f"{len(data):,}", quoted(chosen))
    return data


def _choose(columns: Sequence[str], id_column: str | None, present: Sequence[str], source: str) -> tuple[str, ...]:
    if id_column is not None:
        require_columns([id_column], present, source)
    if columns:
        require_columns(columns, present, source)
        return tuple(columns)
    rest = [name for name in present if name != id_column]
    if "text" in rest:
        return ("text",)
    if len(rest) == 1:
        return (rest[0],)
    raise DataError(f"{source}: columns {quoted(present)} do not say which holds the text; name it with --column")


def _features(id_column: str | None) -> Features:
    return Features(({} if id_column is None else {"id": Value("string")}) | {"text": Value("string")})


def _read(
    files: Sequence[str], columns: Sequence[str], id_column: str | None, stamps: Sequence[Any]
) -> Iterator[dict[str, str]]:
    """`stamps` is not read: it makes the cache key change with the files."""
    names = [*columns, *([id_column] if id_column else [])]
    for file in files:
        for where, record in read_rows(Path(file), names):
            yield _row(record, columns, id_column, where)


def _check(
    record: dict[str, Any], index: int, columns: Sequence[str], id_column: str | None, name: str
) -> dict[str, str]:
    return _row(record, columns, id_column, f"{name}, row {index} (counted from 0)")


def _row(record: dict[str, Any], columns: Sequence[str], id_column: str | None, where: str) -> dict[str, str]:
    filled = [name for name in columns if not is_blank(record.get(name))] or [columns[0]]
    row = {"text": " ".join(text_cell(record, name, where) for name in filled)}
    if id_column is not None:
        value = record.get(id_column)
        # A number is as good an id as a text; what is neither would be called by how Python prints it.
        row["id"] = str(value) if isinstance(value, int) else text_cell(record, id_column, where)
    return row


def _refuse_repeated(ids: Sequence[str], source: str) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in seen:
            raise DataError(
                f"{source}: id {name!r} of row {row} is that of row {seen[name]} too (counted from 0); "
                "give each row its own, or leave the ids out"
            )
        seen[name] = row
