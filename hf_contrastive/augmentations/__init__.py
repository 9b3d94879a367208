"""Positives made by changing a sentence: one protocol, a registry, the discrete augmentations SimCSE compares with."""

from hf_contrastive.augmentations.following import NextSentence
from hf_contrastive.augmentations.masked import Masked, Predicted
from hf_contrastive.augmentations.protocol import Augmentation, WordAugmentation, share_of
from hf_contrastive.augmentations.registry import build_augmentation, register_augmentation, registered_augmentations
from hf_contrastive.augmentations.wordnet import SynonymReplacement
from hf_contrastive.augmentations.words import Crop, DeleteOneWord, WordDeletion

__all__ = [
    "Augmentation",
    "Crop",
    "DeleteOneWord",
    "Masked",
    "NextSentence",
    "Predicted",
    "SynonymReplacement",
    "WordAugmentation",
    "WordDeletion",
    "build_augmentation",
    "register_augmentation",
    "registered_augmentations",
    "share_of",
]
