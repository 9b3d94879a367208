"""Encoder, negatives and objective in one forward pass, on the stock Trainer."""

from hf_contrastive.training.model import ContrastiveModel
from hf_contrastive.training.pair_classification import PairClassificationModel
from hf_contrastive.training.sentence_model import ContrastiveOutput
from hf_contrastive.training.trainer import ContrastiveTrainer, SimCSETrainer, SupervisedSimCSETrainer

__all__ = [
    "ContrastiveModel",
    "ContrastiveOutput",
    "ContrastiveTrainer",
    "PairClassificationModel",
    "SimCSETrainer",
    "SupervisedSimCSETrainer",
]
