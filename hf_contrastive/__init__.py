"""Contrastive learning on the Hugging Face Trainer, with the source of the negatives as a part you plug in."""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AdversarialNegatives": "hf_contrastive.negatives",
    "Augmentation": "hf_contrastive.augmentations",
    "CachedNegatives": "hf_contrastive.negatives",
    "Context": "hf_contrastive.negatives",
    "ContrastiveModel": "hf_contrastive.training",
    "ContrastiveTrainer": "hf_contrastive.training",
    "ContrastiveTrainingArguments": "hf_contrastive.arguments",
    "DropoutPositiveCollator": "hf_contrastive.data",
    "Filtered": "hf_contrastive.negatives",
    "HardNegatives": "hf_contrastive.negatives",
    "InBatchNegatives": "hf_contrastive.negatives",
    "InfoNCE": "hf_contrastive.objectives",
    "LabelledPairCollator": "hf_contrastive.data",
    "Mixture": "hf_contrastive.negatives",
    "NLITripletCollator": "hf_contrastive.data",
    "NegativeSampler": "hf_contrastive.negatives",
    "Negatives": "hf_contrastive.negatives",
    "PairClassificationModel": "hf_contrastive.training",
    "PairCollator": "hf_contrastive.data",
    "QueueNegatives": "hf_contrastive.negatives",
    "SelfAdversarial": "hf_contrastive.negatives",
    "SentenceEncoder": "hf_contrastive.models",
    "SimCSETrainer": "hf_contrastive.training",
    "SupervisedSimCSETrainer": "hf_contrastive.training",
    "UniformNegatives": "hf_contrastive.negatives",
    "WordAugmentation": "hf_contrastive.augmentations",
    "evaluate_pairs": "hf_contrastive.evaluation",
    "evaluate_sts": "hf_contrastive.evaluation",
    "load_recipe": "hf_contrastive.recipe",
    "load_sts_pairs": "hf_contrastive.evaluation",
    "register": "hf_contrastive.negatives",
    "register_augmentation": "hf_contrastive.augmentations",
    "usable": "hf_contrastive.negatives",
}

__all__ = sorted([*_PUBLIC, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: `import hf_contrastive` itself loads no torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
