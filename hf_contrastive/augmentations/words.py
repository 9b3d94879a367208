"""Augmentations that leave words out (Gao et al., 2021, table 1)."""

from random import Random

from hf_contrastive.augmentations.protocol import WordAugmentation, check_share, share_of
from hf_contrastive.augmentations.registry import register_augmentation


@register_augmentation("crop")
class Crop(WordAugmentation):
    """Cuts a share of the words off the two ends; a contiguous stretch stays, its place drawn uniformly.

    Args:
        share: of the words that go; the paper's crop 10% keeps 90%.
    """

    def __init__(self, share: float = 0.1) -> None:
        self.share = check_share(share)

    def change(self, words: list[str], draw: Random) -> list[str]:
        """The stretch that stays."""
        cut = share_of(len(words), self.share)
        start = draw.randint(0, cut)
        return words[start : start + len(words) - cut]


@register_augmentation("word_deletion")
class WordDeletion(WordAugmentation):
    """Leaves a share of the words out, drawn without replacement.

    Args:
        share: of the words that go.
    """

    def __init__(self, share: float = 0.1) -> None:
        self.share = check_share(share)

    def change(self, words: list[str], draw: Random) -> list[str]:
        """The words that stay, in their order."""
        gone = set(draw.sample(range(len(words)), share_of(len(words), self.share)))
        return [word for place, word in enumerate(words) if place not in gone]


@register_augmentation("delete_one_word")
class DeleteOneWord(WordAugmentation):
    """Leaves one word out."""

    def change(self, words: list[str], draw: Random) -> list[str]:
        """All words but one."""
        gone = draw.randrange(len(words))
        return words[:gone] + words[gone + 1 :]
