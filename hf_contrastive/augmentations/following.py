"""A sentence that follows in the text as the positive (Gao et al., 2021, table 2; Logeswaran & Lee, 2018)."""

from collections.abc import Sequence
from random import Random

from hf_contrastive.augmentations.protocol import Augmentation
from hf_contrastive.augmentations.registry import register_augmentation


@register_augmentation("next_sentence")
class NextSentence(Augmentation):
    """One of the next rows, so the rows must be running text, a sentence each.

    Args:
        within: rows it is drawn from: 1 always the next one, 3 the paper's "next 3 sentences".
    """

    def __init__(self, within: int = 1) -> None:
        if isinstance(within, bool) or not isinstance(within, int) or within < 1:
            raise ValueError(f"within must be a whole number of rows, 1 or more, got {within!r}")
        self.following = within

    def batch(self, rows: Sequence[Sequence[str]], draws: Sequence[Random]) -> list[str]:
        """One of the following sentences of each row."""
        return [row[draw.randint(1, self.following)] for row, draw in zip(rows, draws, strict=True)]
