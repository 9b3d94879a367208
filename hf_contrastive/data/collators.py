"""Tokenised rows into the batch a contrastive model reads; the two views of SimCSE are made here.

Rows whose positives an augmentation makes are collated in `hf_contrastive.data.augmented`.

A batch of B rows with M hard negatives has S = 2B + M sentences: B anchors, then B positives, then the hard negatives.

    input_ids, attention_mask   LongTensor [S, L], padded on the right
    keys                        LongTensor [S], equal for equal texts
    negative_rows               LongTensor [M], the row 0..B-1 each hard negative belongs to
    lengths                     list of S ints, tokens a sentence; a list, so that reading it waits for no device
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_contrastive.errors import DataError

Row = dict[str, Any]


@dataclass
class Collator:
    """Pads sentences to one batch.

    Args:
        tokenizer: gives `pad_token_id`.
        pad_to_multiple_of: pads L up to a multiple of it (8 or 64 suits tensor cores).
    """

    tokenizer: PreTrainedTokenizerBase
    pad_to_multiple_of: int | None = None

    def _batch(self, rows: Sequence[Row], order: list[tuple[int, int]], negative_rows: list[int]) -> dict[str, Any]:
        """The batch whose sentence s is view `order[s][1]` of row `order[s][0]`."""
        sentences = [rows[row]["tokens"][view] for row, view in order]
        lengths = [len(tokens) for tokens in sentences]
        width = max(lengths)
        if self.pad_to_multiple_of:
            width += -width % self.pad_to_multiple_of
        mask = np.arange(width) < np.array(lengths)[:, None]
        input_ids = np.full(mask.shape, self.tokenizer.pad_token_id, dtype=np.int64)
        input_ids[mask] = np.fromiter(chain.from_iterable(sentences), dtype=np.int64, count=sum(lengths))
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
            "keys": torch.tensor([rows[row]["keys"][view] for row, view in order], dtype=torch.long),
            "negative_rows": torch.tensor(negative_rows, dtype=torch.long),
            "lengths": lengths,
        }


@dataclass
class DropoutPositiveCollator(Collator):
    """The positive is the anchor once more: the two differ only in their dropout masks (SimCSE, section 3)."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Every anchor twice; raises `DataError` if a row has another view."""
        _require_views(rows, 1, "dropout pairs")
        anchors = [(row, 0) for row in range(len(rows))]
        return self._batch(rows, anchors + anchors, [])


@dataclass
class PairCollator(Collator):
    """Anchor and positive are different sentences."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Anchors, then positives; raises `DataError` unless every row has two views."""
        _require_views(rows, 2, "pairs")
        return self._batch(rows, [(row, view) for view in (0, 1) for row in range(len(rows))], [])


@dataclass
class NLITripletCollator(Collator):
    """Anchor, positive and hard negatives, any number of them in each row (SimCSE, section 4)."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Anchors, positives, then hard negatives row by row; raises `DataError` if a row has no positive."""
        for index, row in enumerate(rows):
            if len(row["tokens"]) < 2:
                raise DataError(
                    f"row {index} of the batch: triplets have at least 2 views a row, got {len(row['tokens'])}; "
                    f"map a positive column in `columns:`"
                )
        pairs = [(row, view) for view in (0, 1) for row in range(len(rows))]
        negatives = [(index, view) for index, row in enumerate(rows) for view in range(2, len(row["tokens"]))]
        return self._batch(rows, pairs + negatives, [row for row, _ in negatives])


@dataclass
class LabelledPairCollator(Collator):
    """Two sentences and the class of the pair (SBERT's classification objective)."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """First sentences, then second ones, and `labels`, LongTensor [B]; raises `DataError` as `PairCollator`."""
        _require_views(rows, 2, "labelled pairs")
        batch = self._batch(rows, [(row, view) for view in (0, 1) for row in range(len(rows))], [])
        labels = torch.tensor([row["label"] for row in rows], dtype=torch.long)
        return {**{key: batch[key] for key in ("input_ids", "attention_mask", "lengths")}, "labels": labels}


def collator_for(
    views: int, tokenizer: PreTrainedTokenizerBase, pad_to_multiple_of: int | None = None
) -> DropoutPositiveCollator | PairCollator | NLITripletCollator:
    """The collator for rows of `views` sentences: 1 dropout pairs, 2 pairs, more: hard negatives, in some rows."""
    kinds: dict[int, type[DropoutPositiveCollator | PairCollator | NLITripletCollator]] = {
        1: DropoutPositiveCollator,
        2: PairCollator,
    }
    return kinds.get(views, NLITripletCollator)(tokenizer, pad_to_multiple_of)


def _require_views(rows: Sequence[Row], views: int, kind: str) -> None:
    for index, row in enumerate(rows):
        if len(row["tokens"]) != views:
            raise DataError(
                f"row {index} of the batch: {kind} have {views} view{'s' * (views > 1)} a row, "
                f"got {len(row['tokens'])}; choose the collator with collator_for(views, tokenizer)"
            )
