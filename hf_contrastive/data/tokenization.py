"""Canonical text columns into token ids, once and cached; what was truncated and what occurs twice is counted."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from datasets import Dataset, Features, IterableDataset, List, Value
from transformers import PreTrainedTokenizerBase
from xxhash import xxh3_64_intdigest

from hf_contrastive import __version__
from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)

OUTPUT = Features({"tokens": List(List(Value("int32"))), "keys": List(Value("int64"))})
TEXT = Features({"text": Value("string")})
# Beside them in the cache: sentences of the row, how many were truncated, and one key for the whole row.
COUNTS = Features({"sentences": Value("int32"), "truncated": Value("int32"), "row_key": Value("int64")})


@dataclass(frozen=True)
class TokenizationReport:
    """What tokenising did to the data.

    Args:
        rows: rows of the dataset.
        sentences: sentences in all of them: anchors, positives and hard negatives.
        truncated: sentences that were longer than the maximum length and lost their ends.
        duplicate_rows: rows all of whose sentences occurred together in an earlier row.
    """

    rows: int
    sentences: int
    truncated: int
    duplicate_rows: int


def tokenize_dataset(
    dataset: Dataset | IterableDataset,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    num_proc: int | None = None,
    keep_text: bool = False,
) -> tuple[Dataset | IterableDataset, TokenizationReport | None]:
    """Tokenises every sentence once; the result is cached by `datasets` and found again in the next run.

    Args:
        dataset: columns of `load_training_data`.
        max_length: tokens a sentence, special tokens included; longer ones are truncated.
        num_proc: processes that tokenise.
        keep_text: keep what an augmentation can change; for rows of one sentence.

    Returns:
        Dataset with `tokens`, per row a list of views (anchor, positive, hard negatives) of ids without padding, and
        `keys`, per view `sentence_key` of its text; with `keep_text` also `text`, the anchor as far as its tokens
        reach, to the last whole word; `label` where the rows have one; and the counts, which a stream cannot know:
        then None.

    Raises:
        DataError: `keep_text` of a stream, or of rows that have a positive already.
    """
    if keep_text:
        _check_can_augment(dataset)
    arguments = {"tokenizer": tokenizer, "max_length": max_length, "keep_text": keep_text}
    features = _features(dataset, keep_text)
    if keep_text and not tokenizer.is_fast:
        logger.warning(
            "the tokeniser does not say where its tokens are in the text: sentences of more than %d tokens are "
            "augmented whole, and what is changed behind that is not seen",
            max_length,
        )
    if isinstance(dataset, IterableDataset):
        remove = dataset.column_names
        stream = dataset.map(_tokenize, batched=True, fn_kwargs=arguments, remove_columns=remove, features=features)
        return stream.remove_columns(list(COUNTS)), None
    tokenized = dataset.map(
        _tokenize,
        batched=True,
        fn_kwargs=arguments,
        remove_columns=dataset.column_names,
        features=features,
        num_proc=num_proc,
        desc="Tokenising",
        new_fingerprint=_fingerprint(dataset, tokenizer, max_length, features),
    )
    report = _report(tokenized)
    logger.info(
        "%s of %s sentences (%.1f%%) are longer than %d tokens and were truncated",
        f"{report.truncated:,}",
        f"{report.sentences:,}",
        100 * report.truncated / max(report.sentences, 1),
        max_length,
    )
    logger.info("%s of %s rows repeat an earlier row", f"{report.duplicate_rows:,}", f"{report.rows:,}")
    return tokenized.remove_columns(list(COUNTS)), report


def _check_can_augment(dataset: Dataset | IterableDataset) -> None:
    if isinstance(dataset, IterableDataset):
        raise DataError("augmentation: a stream's rows have no numbers to draw by; leave out `streaming: true`")
    if "positive" in dataset.column_names:
        raise DataError(
            "augmentation: it makes the positives, and these data bring some; leave the positive column out of "
            "`columns`, or leave out augmentation"
        )


def sentence_key(text: str) -> int:
    """A signed 64-bit key of the stripped text (XXH3): equal texts have equal keys."""
    return _signed(xxh3_64_intdigest(text.strip().encode()))


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _features(dataset: Dataset | IterableDataset, keep_text: bool) -> Features:
    label = {"label": dataset.features["label"]} if "label" in (dataset.column_names or ()) else {}
    return Features({**OUTPUT, **(TEXT if keep_text else {}), **label, **COUNTS})


def _tokenize(
    batch: dict[str, list[Any]], tokenizer: PreTrainedTokenizerBase, max_length: int, keep_text: bool
) -> dict[str, list[Any]]:
    single = [batch[column] for column in ("anchor", "positive") if column in batch]
    negatives = batch.get("negatives") or [[]] * len(batch["anchor"])
    views = [[*texts, *more] for texts, more in zip(zip(*single, strict=True), negatives, strict=True)]
    # Whole sentences first: only their lengths tell which ones are too long.
    options = {"truncation": False, "verbose": False, "return_attention_mask": False, "return_token_type_ids": False}
    with_offsets = keep_text and tokenizer.is_fast
    tokenized = tokenizer(list(chain.from_iterable(views)), return_offsets_mapping=with_offsets, **options)
    sentences = iter(tokenized["input_ids"])
    cut = _truncation(tokenizer, max_length)
    rows: dict[str, list[Any]] = {"tokens": [], "keys": [], "sentences": [], "truncated": [], "row_key": []}
    for row in views:
        tokens = [next(sentences) for _ in row]
        keys = [sentence_key(text) for text in row]
        rows["tokens"].append([cut(ids) for ids in tokens])
        rows["keys"].append(keys)
        rows["sentences"].append(len(row))
        rows["truncated"].append(sum(len(ids) > max_length for ids in tokens))
        rows["row_key"].append(_signed(xxh3_64_intdigest(repr(keys).encode())))
    if "label" in batch:
        rows["label"] = batch["label"]
    if keep_text:
        texts = [text.strip() for (text,) in views]
        if with_offsets:
            # A sentence that keeps its end is kept as it is, also where the tokeniser passed something over.
            texts = [
                _reached(row[0], cut(offsets)) if len(offsets) > max_length else text
                for text, row, offsets in zip(texts, views, tokenized["offset_mapping"], strict=True)
            ]
        rows["text"] = texts
    return rows


def _reached(text: str, offsets: list[tuple[int, int]]) -> str:
    """The part of a text that these tokens cover, without a word at its ends that has lost some of its own."""
    places = [place for place in offsets if place[1] > place[0]]
    if not places:
        return text.strip()
    begin, end = min(start for start, _ in places), max(stop for _, stop in places)
    part = text[begin:end]
    if end < len(text) and not text[end].isspace():
        part = part[: len(part.rstrip()) - len(part.split()[-1])].strip() or part
    if begin > 0 and not text[begin - 1].isspace() and not part[0].isspace():
        part = part[len(part.split()[0]) :].strip() or part
    return part.strip()


def _truncation(tokenizer: PreTrainedTokenizerBase, max_length: int) -> Callable[[list[Any]], list[Any]]:
    """What `truncation=True` does to one sentence's ids, and to what stands beside them, without a second pass."""
    special = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    head, tail = special.index(0), special[::-1].index(0)

    def cut(ids: list[Any]) -> list[Any]:
        excess = len(ids) - max_length
        if excess <= 0:
            return ids
        begin = head if tokenizer.truncation_side == "left" else len(ids) - tail - excess
        return ids[:begin] + ids[begin + excess :]

    return cut


def _fingerprint(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int, features: Features
) -> str | None:
    """Cache key that outlives the process.

    A fast tokeniser carries the truncation and padding of its last call, so its own hash changes when it is used. The
    tokenisers written in Python do not; they are left to `datasets` (None).
    """
    if not tokenizer.is_fast:
        return None
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state |= {"truncation": None, "padding": None, "side": tokenizer.truncation_side}
    parts = (__version__, dataset._fingerprint, features, max_length, state)
    return hashlib.sha256(json.dumps(parts, default=repr).encode()).hexdigest()[:16]


def _report(tokenized: Dataset) -> TokenizationReport:
    counts = tokenized.select_columns(list(COUNTS)).with_format("numpy")[:]
    return TokenizationReport(
        rows=len(tokenized),
        sentences=int(counts["sentences"].sum()),
        truncated=int(counts["truncated"].sum()),
        duplicate_rows=len(tokenized) - len(np.unique(counts["row_key"])),
    )
