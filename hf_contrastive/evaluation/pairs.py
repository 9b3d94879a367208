"""Sentence pairs with a human score, from a file or the Hub."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_contrastive.data.files import column_names, file_format, find_files, read_rows
from hf_contrastive.errors import DataError
from hf_contrastive.evaluation.sources import HubSplit
from hf_contrastive.files import utf8_lines

_COLUMNS = ("score", "sentence1", "sentence2")
_OTHER_FORMATS = (".gz", ".csv", ".json", ".jsonl", ".parquet")


@dataclass
class ScoredPairs:
    """N pairs of sentences, a score each (higher is closer), and the subset each is from ("" where not known)."""

    scores: np.ndarray  # float64 [N]
    sentence1: list[str]
    sentence2: list[str]
    subsets: list[str]

    def __len__(self) -> int:
        return len(self.sentence1)


def load_sts_pairs(source: str | Path | HubSplit) -> ScoredPairs:
    """Load pairs from a file or a split of a Hub dataset.

    Files: TSV (header line, UTF-8, no quoting), CSV, JSON lines, each perhaps gzipped, or Parquet. Columns: sentence1,
    sentence2, score, or label where there is no score, and subset where there is one; others are ignored.

    Raises:
        DataError: a missing file or column, a row that cannot be used, or scores that rank nothing.
    """
    if isinstance(source, HubSplit):
        rows = _hub_rows(source)
    else:
        path = Path(source)
        rows = _file_rows(path) if path.name.lower().endswith(_OTHER_FORMATS) else _tsv_rows(path)
    if len({score for score, _, _, _ in rows}) < 2:
        raise DataError(f"{source}: {len(rows)} rows hold fewer than 2 different scores; nothing to rank")
    scores, sentence1, sentence2, subsets = zip(*rows, strict=True)
    return ScoredPairs(np.array(scores), list(sentence1), list(sentence2), list(subsets))


def _tsv_rows(path: Path) -> list[tuple[float, str, str, str]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; it must be a TSV with the columns {', '.join(_COLUMNS)}")
    # Only \n ends a row: the other separators that Python knows occur inside sentences.
    lines = utf8_lines(path.read_bytes(), path)
    header = lines[0].rstrip("\r").split("\t")
    score = _require_columns(f"{path}, line 1", header)
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if number == len(lines) and not line:
            break  # what follows the last line's end
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(fields)} columns where the header has {len(header)}; "
                "columns are separated by tabs and sentences must not contain any"
            )
        rows.append(_row(f"{path}, line {number}", dict(zip(header, fields, strict=True)).get, score))
    return rows


def _file_rows(path: Path) -> list[tuple[float, str, str, str]]:
    (path,) = find_files(path)
    if file_format(path) == ".txt":
        raise DataError(f"{path}: a text file has no columns; give a table with {', '.join(_COLUMNS)}")
    columns = column_names(path)
    score = _require_columns(str(path), columns)
    wanted = [score, "sentence1", "sentence2", *(["subset"] if "subset" in columns else [])]
    return [_row(where, row.get, score) for where, row in read_rows(path, wanted)]


def _hub_rows(source: HubSplit) -> list[tuple[float, str, str, str]]:
    import datasets  # slow to import, and only needed here

    try:
        dataset = datasets.load_dataset(source.name, split=source.split)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{source}: cannot be loaded from the Hub ({error}); set sts_data or dev_data to local files"
        ) from error
    score = _require_columns(str(source), dataset.column_names)
    return [_row(f"{source}, row {number}", row.get, score) for number, row in enumerate(dataset)]


def _require_columns(where: str, columns: list[str]) -> str:
    """The column of the scores, once all are known to be there: some sets call it label."""
    score = "label" if "score" not in columns and "label" in columns else "score"
    missing = [column for column in (score, *_COLUMNS[1:]) if column not in columns]
    if missing:
        raise DataError(f"{where}: no column {', '.join(missing)} among {', '.join(columns)}; add or rename columns")
    return score


def _row(where: str, get: Callable[[str], str | float | None], score_column: str) -> tuple[float, str, str, str]:
    given = get(score_column)
    try:
        score = float("" if given is None else given)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{where}: score {given!r} is not a number; drop the row or give it a score")
    sentences = [str(get(column) or "").strip() for column in ("sentence1", "sentence2")]
    for column, sentence in zip(("sentence1", "sentence2"), sentences, strict=True):
        if not sentence:
            raise DataError(f"{where}: {column} is empty; drop the row or fill it in")
    return score, sentences[0], sentences[1], str(get("subset") or "")
