"""Running words dealt out in chunks: the rows that a Trainer shuffles."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hf_contrastive.data.word_corpus import WordCorpus

logger = logging.getLogger(__name__)


class WordChunks(Dataset):
    """Chunks of a corpus, each of whole sentences, so that no window is cut.

    Only sentences longer than a chunk (texts without line breaks) are cut, every `words` words; how many cuts there
    are is logged. Batches thus differ little in size, on which the size of a step depends.

    Args:
        corpus: word ids and where sentences begin.
        words: of a chunk, about; at most twice as many.
    """

    def __init__(self, corpus: WordCorpus, words: int = 512) -> None:
        # Views: numpy's memory maps themselves are slow to index.
        self.ids, self.starts = np.asarray(corpus.ids), np.asarray(corpus.starts)
        starts = self.starts
        wanted = np.arange(0, len(corpus.ids), words)
        following = starts[np.searchsorted(starts, wanted)]  # the next sentence's start, or the end
        inside = following - wanted > words
        self.bounds = np.unique(np.append(np.where(inside, wanted, following), len(corpus.ids)))
        self.first = np.searchsorted(starts, self.bounds[:-1], side="right") - 1  # sentence of each chunk
        self.last = np.searchsorted(starts, self.bounds[1:] - 1, side="right") - 1
        cuts = int(inside.sum())
        if cuts:
            logger.info("%s sentences longer than %s words were cut at %s places", *_counted(starts, words, cuts))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`ids` [N], word ids, and `sentences` [N], the number of each word's sentence."""
        start, end = int(self.bounds[index]), int(self.bounds[index + 1])
        first, last = int(self.first[index]), int(self.last[index])
        edges = np.array(self.starts[first : last + 2])
        edges[0], edges[-1] = start, end  # a chunk may begin and end inside a sentence
        return {
            "ids": torch.from_numpy(self.ids[start:end].astype(np.int64)),
            "sentences": torch.from_numpy(np.arange(first, last + 1).repeat(np.diff(edges))),
        }


def _counted(starts: np.ndarray, words: int, cuts: int) -> tuple[str, str, str]:
    return f"{int((np.diff(starts) > words).sum()):,}", f"{words:,}", f"{cuts:,}"


def collate_chunks(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Chunks one behind the other; sentences are numbered by chunk, so that no window reaches into another chunk.

    Chunks of one sentence, which was cut, can be anywhere in a batch: their words are no neighbours.
    """
    sentences, following = [], 0
    for row in rows:
        numbers = row["sentences"]
        sentences.append(numbers - numbers[0] + following)
        following = int(sentences[-1][-1]) + 1
    return {"ids": torch.cat([row["ids"] for row in rows]), "sentences": torch.cat(sentences)}
