"""Which columns are anchor, positive, hard negatives and label, and whether a row's cells can be trained on."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import ClassLabel, Features, List, Value

from hf_contrastive.data.labels import NLI_LABELS, label_cell
from hf_contrastive.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Columns:
    """The columns of the user's data by their part: without `positive`, the anchor is its own (dropout) positive.

    With `label`, a cell of which is one of `labels`, `positive` is the other sentence of a pair, whatever it is to it.
    """

    anchor: str
    positive: str | None = None
    negatives: tuple[str, ...] = ()
    label: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The user's column names that are read, anchor first."""
        single = [name for name in (self.positive, self.label) if name]
        return list(dict.fromkeys([self.anchor, *single, *self.negatives]))

    @property
    def features(self) -> Features:
        """Types of the canonical columns: `anchor`; `positive`, `negatives` and `label` where they are mapped."""
        features = {"anchor": Value("string")}
        if self.positive is not None:
            features["positive"] = Value("string")
        if self.negatives:
            features["negatives"] = List(Value("string"))
        if self.label is not None:
            features["label"] = ClassLabel(names=list(self.labels))
        return Features(features)


def choose_columns(
    mapping: Mapping[str, Any] | None,
    present: Sequence[str],
    source: str,
    labels: tuple[str, ...] = NLI_LABELS,
) -> Columns:
    """The user's mapping, or what the column names say.

    Recognised by name: `text`; a single column; exactly `anchor, positive[, negative, negative_2, ...]`
    (sentence-transformers); `sent0, sent1[, hard_neg]` among any others (SimCSE); exactly `sentence1, sentence2,
    label`.

    Args:
        mapping: `{"anchor": column, "positive": column, "negatives": [columns], "label": column}`, or None.
        present: column names of the data.
        source: file or dataset name for the messages.
        labels: names of the classes, where there is a label.

    Raises:
        DataError: a mapped column does not exist, or the names say nothing.
    """
    if mapping is not None:
        positive, label = (None if mapping.get(key) is None else str(mapping[key]) for key in ("positive", "label"))
        columns = Columns(
            str(mapping["anchor"]),
            positive,
            tuple(str(name) for name in mapping.get("negatives") or ()),
            label,
            labels if label is not None else (),
        )
        require_columns(columns.names, present, source)
        return columns
    if "text" in present:
        return Columns("text")
    if len(present) == 1:
        return Columns(present[0])
    negatives = tuple(name for name in present if re.fullmatch(r"negative(_?\d+)?", name))
    if set(present) == {"anchor", "positive", *negatives}:
        return Columns("anchor", "positive", negatives)
    if {"sent0", "sent1"} <= set(present):
        return Columns("sent0", "sent1", ("hard_neg",) if "hard_neg" in present else ())
    if set(present) == {"sentence1", "sentence2", "label"}:
        return Columns("sentence1", "sentence2", label="label", labels=labels)
    raise DataError(
        f"{source}: columns {quoted(present)} do not say which hold the sentences; "
        f"write for example `columns: {{anchor: {present[0]}, positive: {present[1]}}}` in the recipe"
    )


def require_columns(wanted: Iterable[str], present: Sequence[str], source: str) -> None:
    """Raise `DataError` for the first of `wanted` that is not `present`."""
    for column in wanted:
        if column not in present:
            hint = did_you_mean(column, present, "correct `columns:` in the recipe")
            raise DataError(f"{source}: no column {column!r}; the columns are {quoted(present)}{hint}")


def canonical_row(record: Mapping[str, Any], columns: Columns, where: str) -> dict[str, Any]:
    """One row under the canonical names; a hard negative that is empty or None is left out of `negatives`."""
    row: dict[str, Any] = {"anchor": text_cell(record, columns.anchor, where)}
    if columns.positive is not None:
        row["positive"] = text_cell(record, columns.positive, where)
    if columns.negatives:
        present = (name for name in columns.negatives if not is_blank(record.get(name)))
        row["negatives"] = [text_cell(record, name, where) for name in present]
    if columns.label is not None:
        row["label"] = label_cell(record.get(columns.label), columns.label, columns.labels, where)
    return row


def is_blank(value: Any) -> bool:
    """None, or nothing but white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def text_cell(record: Mapping[str, Any], column: str, where: str) -> str:
    """The text of one cell.

    Args:
        record: cells by column name.
        column: name of the cell.
        where: file and line, for the message.

    Raises:
        DataError: the cell is empty, is not text, or holds half of a surrogate pair, which UTF-8 cannot express.
    """
    value = record.get(column)
    if is_blank(value):
        raise DataError(f"{where}, column {column!r}: empty cell; remove the row or fill it in")
    if not isinstance(value, str):
        raise DataError(
            f"{where}, column {column!r}: expected text, got {type(value).__name__} {value!r:.40}; "
            f"convert it to text or map another column"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}, column {column!r}: character {error.start + 1} is half of a surrogate pair (\\ud800-\\udfff); "
            f"remove or repair it"
        ) from None
    return value


def quoted(names: Iterable[str]) -> str:
    """`'a', 'b'`: names as the messages list them."""
    return ", ".join(repr(name) for name in names)
