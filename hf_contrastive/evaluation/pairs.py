"""Sentence pairs with a human score, from a TSV file or the Hub."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hf_contrastive.errors import DataError
from hf_contrastive.evaluation.sources import HubSplit
from hf_contrastive.files import utf8_lines

_COLUMNS = ("score", "sentence1", "sentence2")


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
    """Load pairs from a TSV file (header line, UTF-8, no quoting) or a split of a Hub dataset.

    Columns: score, sentence1, sentence2, and subset where there is one; others are ignored.

    Raises:
        DataError: a missing file or column, a row that cannot be used, or scores that rank nothing.
    """
    rows = _hub_rows(source) if isinstance(source, HubSplit) else _tsv_rows(Path(source))
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
    _require_columns(f"{path}, line 1", header)
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
        rows.append(_row(f"{path}, line {number}", dict(zip(header, fields, strict=True)).get))
    return rows


def _hub_rows(source: HubSplit) -> list[tuple[float, str, str, str]]:
    import datasets  # slow to import, and only needed here

    try:
        dataset = datasets.load_dataset(source.name, split=source.split)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{source}: cannot be loaded from the Hub ({error}); set sts_data or dev_data to local files"
        ) from error
    _require_columns(str(source), dataset.column_names)
    return [_row(f"{source}, row {number}", row.get) for number, row in enumerate(dataset)]


def _require_columns(where: str, columns: list[str]) -> None:
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        raise DataError(f"{where}: no column {', '.join(missing)} among {', '.join(columns)}; add or rename columns")


def _row(where: str, get: Callable[[str], str | float | None]) -> tuple[float, str, str, str]:
    given = get("score")
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
