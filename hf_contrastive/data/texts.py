"""Running text, one sentence or paragraph a row: files, folders, or a stream from the Hub."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import IterableDataset, load_dataset

from hf_contrastive.data.columns import is_blank, quoted, text_cell
from hf_contrastive.data.files import KNOWN_SUFFIXES, column_names, file_format, find_files, read_rows
from hf_contrastive.data.hub import asking_the_hub
from hf_contrastive.data.loading import is_local
from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)

COLUMN = "text"
_SHOWN = 20  # file names in the log


@dataclass(frozen=True)
class TextSource:
    """Rows of text; going over it reads them anew.

    Attributes:
        name: as the user wrote it.
        paths: files; empty where it is a dataset on the Hub.
        config: of a Hub dataset: its configuration.
        split: of a Hub dataset.
    """

    name: str
    paths: tuple[Path, ...] = ()
    config: str | None = None
    split: str = "train"

    def stamp(self) -> list[Any]:
        """What tells whether the text is still the same: names, sizes and times of change.

        A Hub dataset is known by its names alone, so that it need not be asked for what is at hand.
        """
        if not self.paths:
            return [self.name, self.config, self.split]
        stats = [(path.resolve(), path.stat()) for path in self.paths]
        return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]

    def size(self) -> int | None:
        """Bytes of text, unpacked, a last line feed included; `None` where that is not known beforehand."""
        sizes = [_text_size(path) for path in self.paths]
        known = [size + 1 for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None

    def __iter__(self) -> Iterator[str]:
        """Every row that is not blank; blank ones are counted and logged.

        Raises:
            DataError: see `read_rows`; a cell is not text; or the Hub does not give the dataset.
        """
        blank = 0
        for where, record in self._from_files() if self.paths else self._from_hub():
            if is_blank(record.get(COLUMN)):
                blank += 1
                continue
            yield text_cell(record, COLUMN, where)
        if blank:
            logger.info("%s: skipped %s rows with a blank cell %r", self.name, f"{blank:,}", COLUMN)

    def _from_files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in self.paths:
            yield from read_rows(path, (COLUMN,))

    def _from_hub(self) -> Iterator[tuple[str, dict[str, Any]]]:
        missing = f"train_data: {self.name!r} is no local file"
        with asking_the_hub(missing, "the path or the name, its train_data_name or train_split"):
            stream: IterableDataset = load_dataset(self.name, self.config, split=self.split, streaming=True)
            _require_text(stream.column_names or list(next(iter(stream), {})), self.name)
            for number, record in enumerate(stream.select_columns([COLUMN])):
                yield f"{self.name}, row {number} (counted from 0)", record


def find_texts(train_data: str, config: str | None = None, split: str = "train") -> TextSource:
    """What `train_data` names.

    Args:
        train_data: a file, a glob, a folder (the files in it whose format is known), several of them with commas
            between, or the name of a Hub dataset. Text files have a sentence or paragraph a line; of tables, JSON
            lines, Parquet and Hub datasets the column `text` is read.
        config: configuration of a Hub dataset.
        split: of a Hub dataset.

    Raises:
        DataError: nothing there, nothing whose format is known, or no column `text`.
    """
    one = os.path.exists(os.path.expanduser(train_data))  # its name may have a comma in it
    parts = [train_data] if one else [part.strip() for part in train_data.split(",") if part.strip()]
    if not parts:
        raise DataError("train_data: names nothing; name a text file, a folder or a Hub dataset")
    if len(parts) == 1 and not is_local(parts[0]):
        return TextSource(parts[0], config=config, split=split)
    paths: list[Path] = []
    for part in parts:
        folder = Path(part).expanduser()
        paths += _files_in(folder) if folder.is_dir() else find_files(part)
    for path in paths:
        _require_text(column_names(path), str(path))
    names = [path.name for path in paths[:_SHOWN]]
    more = [f"{len(paths) - _SHOWN:,} more"] if len(paths) > _SHOWN else []
    logger.info("%s: text of %s", train_data, ", ".join(names + more))
    return TextSource(train_data, tuple(paths))


def _files_in(folder: Path) -> list[Path]:
    """Files of a known format, sorted; what else is in the folder is counted and logged."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    paths = [entry for entry in entries if entry.is_file() and entry.name.lower().endswith(KNOWN_SUFFIXES)]
    if not paths:
        raise DataError(f"{folder}: no file of a known format in it; name them one of {', '.join(KNOWN_SUFFIXES)}")
    if len(paths) < len(entries):
        others = len(entries) - len(paths)
        logger.info("%s: %s folders and files of other formats are not looked at", folder, f"{others:,}")
    return paths


def _require_text(present: Sequence[str], source: str) -> None:
    if COLUMN not in present:
        raise DataError(
            f"{source}: no column {COLUMN!r}; the columns are {quoted(present) or 'none'}; "
            f"rename the one that holds the sentences to {COLUMN!r}"
        )


def _text_size(path: Path) -> int | None:
    if file_format(path) != ".txt":
        return None
    packed = path.stat().st_size
    if not path.name.lower().endswith(".gz"):
        return packed
    try:
        with path.open("rb") as file:
            file.seek(-min(packed, 4), os.SEEK_END)
            unpacked = int.from_bytes(file.read(), "little")
    except OSError:
        return None  # what is wrong is said when it is read
    # The last four bytes hold the size modulo 2^32, of the last of the parts that were packed one by one.
    return unpacked if unpacked >= packed else None
