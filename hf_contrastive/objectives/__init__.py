"""How positives and negatives are contrasted."""

from hf_contrastive.objectives.binary import NCE, NegativeSampling
from hf_contrastive.objectives.infonce import InfoNCE, SampledSoftmax, cross_entropy_of_pool
from hf_contrastive.objectives.masked_lm import MaskedLanguageModelHead, mask_tokens
from hf_contrastive.objectives.objective import Objective
from hf_contrastive.objectives.triplet import Triplet

OBJECTIVES: dict[str, type[Objective]] = {
    "infonce": InfoNCE,
    "sampled_softmax": SampledSoftmax,
    "negative_sampling": NegativeSampling,
    "nce": NCE,
    "triplet": Triplet,
}

__all__ = [
    "NCE",
    "OBJECTIVES",
    "InfoNCE",
    "MaskedLanguageModelHead",
    "NegativeSampling",
    "Objective",
    "SampledSoftmax",
    "Triplet",
    "cross_entropy_of_pool",
    "mask_tokens",
]
