"""Word vectors: windows, the module that is trained, and its Trainer."""

from hf_contrastive.training.words.build import contrastive_word_model
from hf_contrastive.training.words.model import ContrastiveWordModel
from hf_contrastive.training.words.trainer import WordTrainer

__all__ = ["ContrastiveWordModel", "WordTrainer", "contrastive_word_model"]
