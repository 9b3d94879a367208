"""Rows and candidates as numbers: each distinct text has one id, and is encoded once however often it occurs."""

import json
import logging
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import torch
from datasets import Dataset
from xxhash import xxh3_64

from hf_contrastive.arguments import DataArguments
from hf_contrastive.data import load_training_data, sentence_key
from hf_contrastive.errors import DataError
from hf_contrastive.mining.settings import MiningSettings
from hf_contrastive.negatives import KnownPairs

logger = logging.getLogger(__name__)

_SLICE = 100_000  # texts that are Python strings at a time


@dataclass(frozen=True)
class Corpus:
    """Rows (anchor, positive) and candidates.

    Attributes:
        cells: every text as it was read: anchors, then positives, then those of the corpus file.
        places: [T], where in `cells` each distinct text (stripped) occurs first; a text's id is its place in here.
        anchors: [R], ids of the rows' anchors.
        positives: [R], ids of their positives; of plain sentences the anchors again.
        candidates: [C], ids that may become negatives, ascending.
        plain: whether rows are single sentences.
        fingerprint: of all texts, in their order and by their part.
    """

    cells: pa.LargeStringArray
    places: np.ndarray
    anchors: np.ndarray
    positives: np.ndarray
    candidates: np.ndarray
    plain: bool
    fingerprint: dict[str, str]

    def texts(self, ids: np.ndarray) -> pa.LargeStringArray:
        """Distinct texts by id; null for -1."""
        return self.cells.take(pa.array(self.places[ids], mask=ids < 0))

    def rows(self, span: range) -> tuple[pa.LargeStringArray, pa.LargeStringArray]:
        """Anchors and positives of consecutive rows, as they were read."""
        shift = 0 if self.plain else len(self.anchors)
        return self.cells.slice(span.start, len(span)), self.cells.slice(shift + span.start, len(span))

    def known_pairs(self) -> KnownPairs:
        """Pairs of ids that the rows say are positive, in both directions; none of plain sentences."""
        if self.plain:
            none = torch.empty(0, dtype=torch.long)
            return KnownPairs(none, none)
        anchors, positives = torch.from_numpy(self.anchors), torch.from_numpy(self.positives)
        return KnownPairs(torch.cat([anchors, positives]), torch.cat([positives, anchors]))


def load_corpus(settings: MiningSettings) -> Corpus:
    """Read rows and candidates.

    Raises:
        DataError: a file or column that is not there, or a cell that is not text.
    """
    mapping = {"anchor": settings.anchor, "positive": settings.positive}
    columns = {part: column for part, column in mapping.items() if column is not None}
    hub = {"train_data_name": settings.data_name, "train_split": settings.split, "max_train_rows": settings.max_rows}
    data = _load(settings.data, columns, "--anchor COLUMN --positive COLUMN", hub)
    other = None
    if settings.corpus is not None:
        column = {} if settings.corpus_column is None else {"anchor": settings.corpus_column}
        other = _load(settings.corpus, column, "--corpus-column COLUMN")
    if "negatives" in data.column_names:
        logger.info("%s: the hard negatives it has are not looked at", settings.data)
    return make_corpus(data, other)


def make_corpus(data: Dataset, other: Dataset | None = None) -> Corpus:
    """Number the texts of `data` (columns `anchor` and perhaps `positive`).

    Args:
        other: where candidates come from: its positives, or its sentences where it has none; default: `data` itself.
    """
    parts = [_column(data, name) for name in ("anchor", "positive") if name in data.column_names]
    plain = len(parts) == 1
    if other is not None:
        parts.append(_column(other, "positive" if "positive" in other.column_names else "anchor"))
    cells = pa.concat_arrays(list(chain.from_iterable(part.chunks for part in parts)))
    keys = np.fromiter((sentence_key(text) for text in _strings(cells)), dtype=np.int64, count=len(cells))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)  # ids in the order of first occurrence, so that shards follow the files
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    ids = rank[inverse]
    rows = len(data)
    anchors, positives = ids[:rows], ids[:rows] if plain else ids[rows : 2 * rows]
    own = ids[: rows if plain else 2 * rows]
    return Corpus(
        cells=cells,
        places=first[order],
        anchors=anchors,
        positives=positives,
        candidates=np.unique(positives if other is None else ids[len(own) :]),
        plain=plain,
        fingerprint={
            "data": f"{rows:,} {'sentences' if plain else 'pairs'} {xxh3_64(keys[: len(own)].tobytes()).hexdigest()}",
            "corpus": "data"
            if other is None
            else f"{len(other):,} texts {xxh3_64(keys[len(own) :].tobytes()).hexdigest()}",
        },
    )


def _load(source: str, columns: dict[str, str], options: str, more: dict[str, Any] | None = None) -> Dataset:
    mapping = json.dumps(columns) if columns else None  # JSON is YAML, whatever characters the names have
    try:
        data = load_training_data(DataArguments(train_data=source, columns=mapping, **(more or {})))
    except DataError as error:
        hint = f" (here: {options})" if "columns" in str(error) else ""
        raise DataError(f"{error}{hint}") from error
    assert isinstance(data, Dataset)
    return data


def _column(data: Dataset, name: str) -> pa.ChunkedArray:
    # 64-bit offsets: joined chunks may hold more than 2 GB of text.
    return data.select_columns(name).with_format("arrow")[:][name].cast(pa.large_string())


def _strings(cells: pa.LargeStringArray) -> "chain[str]":
    slices = (cells.slice(start, _SLICE).to_pylist() for start in range(0, len(cells), _SLICE))
    return chain.from_iterable(slices)
