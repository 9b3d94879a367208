"""Labels of sentence pairs: from a cell to the number of its class, and whether there is anything to tell apart."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, IterableDataset

from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)

NLI_LABELS = ("entailment", "neutral", "contradiction")
UNLABELLED = -1  # SNLI marks pairs whose annotators did not agree: "-" in its files, -1 on the Hub


def label_names(features: Mapping[str, Any] | None, column: str = "label") -> tuple[str, ...] | None:
    """Names of the classes, where the column's type has them."""
    feature = (features or {}).get(column)
    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def label_cell(value: Any, column: str, labels: Sequence[str], where: str) -> int:
    """The class of one cell, `UNLABELLED` for SNLI's mark of pairs without one.

    Args:
        value: a name of `labels`, or its number in them, counted from 0.
        column: name of the cell.
        labels: names of the classes.
        where: file and line, for the message.

    Raises:
        DataError: anything else.
    """
    text = "" if value is None else str(value).strip()
    if text in labels:
        return labels.index(text)
    if text in ("-", str(UNLABELLED)):
        return UNLABELLED
    if text.isdecimal() and int(text) < len(labels):
        return int(text)
    raise DataError(
        f"{where}, column {column!r}: label {value!r} is none of {_quoted(labels)} and no number below {len(labels)}; "
        f"correct it, or name the classes of your data, `labels: [{text or 'NAME'}, ...]`"
    )


def without_unlabelled(dataset: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """The rows that have a class; how many have none is logged. Data without labels are returned as they are."""
    if "label" not in (dataset.column_names or ()):
        return dataset
    if isinstance(dataset, IterableDataset):
        return dataset.filter(_is_labelled)
    labels = _labels(dataset)
    kept = np.flatnonzero(labels != UNLABELLED)
    if len(kept) == len(labels):
        return dataset
    logger.info("%s of %s rows have no label and are left out", f"{len(labels) - len(kept):,}", f"{len(labels):,}")
    return dataset.select(kept)


def check_labels(dataset: Dataset | IterableDataset) -> None:
    """Log how often each class occurs; a stream, whose rows are not known beforehand, passes.

    Raises:
        DataError: no labels, or one class only.
    """
    if "label" not in (dataset.column_names or ()):
        raise DataError(
            "objective: softmax_classifier wants pairs of sentences with a label, and these rows have none; name the "
            "columns, `columns: {sentence1: ..., sentence2: ..., label: ...}`"
        )
    if isinstance(dataset, IterableDataset):
        return
    names = label_names(dataset.features) or ()
    labels = _labels(dataset)
    counts = np.bincount(labels, minlength=len(names))
    if (counts > 0).sum() < 2:
        rows = f"{len(labels):,} rows" if len(labels) == 1 else f"rows 0 to {len(labels) - 1:,}"
        raise DataError(
            f"train_data: {rows} have the same label, {names[labels[0]]!r}, so that there is nothing to tell apart; "
            "add rows of other classes, or, where max_train_rows takes the head of a sorted file, shuffle it"
        )
    logger.info("labels: %s", ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True)))
    absent = [name for name, count in zip(names, counts, strict=True) if not count]
    if absent:
        logger.warning("labels: no row is %s", _quoted(absent))


def _labels(dataset: Dataset) -> np.ndarray:
    return dataset.select_columns("label").with_format("numpy")[:]["label"]


def _is_labelled(row: dict[str, Any]) -> bool:
    return row["label"] != UNLABELLED


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
