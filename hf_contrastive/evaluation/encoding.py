"""Each distinct sentence through the encoder once, however many tasks and rows it occurs in."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hf_contrastive.errors import CheckpointError

Encode: TypeAlias = Callable[[list[str]], Tensor]

_CHUNK = 4096  # sentences handed over at a time: enough for the encoder to sort by length, and a bar that moves


class EncodedSentences:
    """Vectors of sentences, looked up by the sentence.

    Args:
        encode: N sentences to [N, D]; kept as float32 on the CPU.
        sentences: sentences, repeated or not.
        progress: show a bar with the rate and the time left.

    Raises:
        CheckpointError: `encode` returned numbers that are not finite.
        ValueError: it returned another shape.
    """

    def __init__(self, encode: Encode, sentences: Iterable[str], progress: bool = False) -> None:
        self.row = {sentence: row for row, sentence in enumerate(dict.fromkeys(sentences))}
        distinct = list(self.row)
        parts = []
        with tqdm(total=len(distinct), unit="sentences", desc="encode", disable=not progress) as bar:
            for start in range(0, len(distinct), _CHUNK):
                chunk = distinct[start : start + _CHUNK]
                parts.append(_checked(encode(chunk), chunk))
                bar.update(len(chunk))
        self.vectors = torch.cat(parts)

    def __getitem__(self, sentences: Sequence[str]) -> Tensor:
        """Vectors [N, D] of N sentences."""
        return self.vectors[[self.row[sentence] for sentence in sentences]]


def _checked(vectors: Tensor, sentences: list[str]) -> Tensor:
    if vectors.ndim != 2 or len(vectors) != len(sentences):
        raise ValueError(f"encode returned shape {tuple(vectors.shape)} for {len(sentences)} sentences, not [N, D]")
    finite = vectors.isfinite().all(dim=1)
    if not finite.all():
        bad = sentences[int((~finite).nonzero()[0])]
        raise CheckpointError(
            f"model: its vector of {bad!r:.80} is not finite: it diverged; choose another checkpoint"
        )
    return vectors.detach().float().cpu()
