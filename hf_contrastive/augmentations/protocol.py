"""What an augmentation is: a sentence and random numbers of its own to the sentence that is its positive."""

from collections.abc import Sequence
from random import Random


class Augmentation:
    """Makes the positive of a sentence.

    It is called in the processes that load data, with a generator seeded by the run's seed, the epoch and the row: it
    must draw from nothing else, so that a resumed run sees the same positives.
    """

    following = 0
    """Rows behind its own that `batch` is given."""

    def __call__(self, sentence: str, draw: Random) -> str:
        """The positive; `sentence` itself where nothing can be changed."""
        raise NotImplementedError

    def batch(self, rows: Sequence[Sequence[str]], draws: Sequence[Random]) -> list[str]:
        """One positive a row.

        Args:
            rows: in each the sentence, then the sentences of the `following` rows.
            draws: a generator a row.
        """
        return [self(row[0], draw) for row, draw in zip(rows, draws, strict=True)]


class WordAugmentation(Augmentation):
    """Changes the words of a sentence, which are what stands between white space.

    A sentence of one word is left as it is.
    """

    def __call__(self, sentence: str, draw: Random) -> str:
        """The changed words, a space between them."""
        words = sentence.split()
        changed = self.change(words, draw) if len(words) > 1 else words
        return sentence if changed == words else " ".join(changed)

    def change(self, words: list[str], draw: Random) -> list[str]:
        """A new list of words made of these, of which there are two or more; the same words: nothing to change."""
        raise NotImplementedError


def check_share(share: float) -> float:
    """`share`, once it is known to be one; raises ValueError."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"share must be a number between 0 and 1, got {share!r}")
    return float(share)


def share_of(count: int, share: float) -> int:
    """That share of `count` words to the nearest whole number, but one at least and never all."""
    return min(max(1, round(share * count)), count - 1)
