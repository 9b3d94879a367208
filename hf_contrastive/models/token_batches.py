"""Sentences into batches of equal length: little is computed for padding, and the order of the sentences is kept.

Sentences that are equally long in characters differ in tokens: sorting by characters leaves padding in every batch.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 16_384  # sentences that are sorted at a time, and whose token ids are in memory


def token_batches(
    sentences: Sequence[str], tokenizer: Any, max_length: int, batch_size: int, batch_tokens: int | None = None
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Tokenise and batch, the longest sentences of each block first, so that memory runs out at once if at all.

    Args:
        sentences: N strings; each truncated to `max_length` tokens.
        batch_size: sentences a batch.
        batch_tokens: tokens a batch, padding included, in place of `batch_size`; one sentence at least.

    Yields:
        places [S] of a batch's sentences among the N; token ids [S, L]; attention mask [S, L].
    """
    for start in range(0, len(sentences), BLOCK):
        block = list(sentences[start : start + BLOCK])
        ids = tokenizer(block, truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]
        lengths = np.array([len(row) for row in ids])
        order = np.argsort(-lengths, kind="stable")
        begin = 0
        while begin < len(order):
            longest = int(lengths[order[begin]])
            size = batch_size if batch_tokens is None else max(1, batch_tokens // max(longest, 1))
            rows = order[begin : begin + size]
            begin += size
            yield start + rows, *_padded([ids[row] for row in rows], longest, tokenizer)


def _padded(ids: list[list[int]], longest: int, tokenizer: Any) -> tuple[Tensor, Tensor]:
    tokens = np.full((len(ids), longest), tokenizer.pad_token_id, dtype=np.int64)
    mask = np.zeros((len(ids), longest), dtype=np.int64)
    for row, own in enumerate(ids):
        place = slice(len(own)) if tokenizer.padding_side == "right" else slice(longest - len(own), longest)
        tokens[row, place] = own
        mask[row, place] = 1
    return torch.from_numpy(tokens), torch.from_numpy(mask)
