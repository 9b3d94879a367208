"""Rows whose positives an augmentation makes: numbered, beside those that follow them, and collated."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from torch import Tensor
from torch.utils.data import get_worker_info

from hf_contrastive.augmentations import Augmentation
from hf_contrastive.data.collators import Collator, Row
from hf_contrastive.data.tokenization import sentence_key
from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)


def rows_to_augment(dataset: Dataset, augmentation: Augmentation) -> Dataset:
    """Adds what `AugmentedPositiveCollator` reads.

    Args:
        dataset: of `tokenize_dataset` with `keep_text`.
        augmentation: says how many following rows it reads; as many rows at the end have none and are left out.

    Returns:
        Columns `tokens`, `keys`, `text`, `row` (its number), and `following_1`, ... (texts of the next rows).

    Raises:
        DataError: no texts in it, or none of its rows has that many behind it.
    """
    if "text" not in dataset.column_names:
        raise DataError(
            "augmentation: the rows were tokenised without their texts; give rows of text, or tokenise them with "
            "tokenize_dataset(..., keep_text=True)"
        )
    left_out = augmentation.following
    count = len(dataset) - left_out
    if count < 1:
        raise DataError(f"augmentation: reads {left_out} following rows, and the data have {len(dataset)}; add rows")
    if left_out:
        logger.info("augmentation: the last %d rows have too few rows behind them and are left out", left_out)
    columns = [dataset.select(range(count)), Dataset.from_dict({"row": np.arange(count)})]
    for step in range(1, left_out + 1):
        behind = dataset.select(range(step, step + count)).select_columns("text")
        columns.append(behind.rename_column("text", f"following_{step}"))
    return concatenate_datasets(columns, axis=1)


@dataclass
class AugmentedPositiveCollator(Collator):
    """The positive is the anchor changed, another way in each epoch.

    What is drawn follows from seed, epoch and row alone: not from the batch a row is in, the process that loads it or
    the steps taken since a run was resumed. A positive that is the anchor itself keeps the anchor's key.

    Args:
        augmentation: makes the positives.
        max_length: tokens a positive, special tokens included; longer ones are truncated.
        seed: of the draws.
        epoch: a number in memory that the processes that load data share.
    """

    augmentation: Augmentation = field(kw_only=True)
    max_length: int = field(kw_only=True)
    seed: int = field(kw_only=True)
    epoch: Tensor = field(
        kw_only=True, default_factory=lambda: torch.zeros((), dtype=torch.int64).share_memory_(), repr=False
    )

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Anchors, then positives; raises `DataError` if the augmentation leaves nothing of a sentence."""
        if get_worker_info() is not None:
            # One thread a worker; the tokeniser would warn of having been forked.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        texts = self.positives(rows)
        encoded = self.tokenizer(
            texts,
            truncation=True,
            max_length=self.max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        pairs: list[Row] = []
        for row, text, tokens in zip(rows, texts, encoded, strict=True):
            anchor, key = row["tokens"][0], row["keys"][0]
            positive, its_key = (anchor, key) if text == row["text"] else (tokens, sentence_key(text))
            pairs.append({"tokens": [anchor, positive], "keys": [key, its_key]})
        return self._batch(pairs, [(row, view) for view in (0, 1) for row in range(len(rows))], [])

    def positives(self, rows: Sequence[Row]) -> list[str]:
        """What the augmentation makes of `rows` in this epoch."""
        epoch = int(self.epoch)
        draws = [Random(f"{self.seed} {epoch} {row['row']}") for row in rows]
        behind = [f"following_{step}" for step in range(1, self.augmentation.following + 1)]
        texts = self.augmentation.batch([[row["text"], *(row[name] for name in behind)] for row in rows], draws)
        for row, text in zip(rows, texts, strict=True):
            if not text.strip():
                raise DataError(
                    f"augmentation: {type(self.augmentation).__name__} left nothing of row {row['row']} (counted from "
                    f"0), {row['text']!r:.60}; an augmentation returns a sentence"
                )
        return texts


def check_augments(dataset: Dataset, collator: AugmentedPositiveCollator, rows: int = 256) -> None:
    """Log how many of the first rows the augmentation leaves as they are; raise `DataError` if that is all of them."""
    first = [dataset[index] for index in range(min(rows, len(dataset)))]
    same = sum(text == row["text"] for row, text in zip(first, collator.positives(first), strict=True))
    name = type(collator.augmentation).__name__
    if same == len(first):
        raise DataError(
            f"augmentation: {name} changes none of the first {len(first):,} sentences, for instance "
            f"{first[0]['text']!r:.60}; words are what stands between white space; choose another augmentation"
        )
    logger.info("augmentation: %s leaves %d of the first %d sentences as they are", name, same, len(first))
