"""How positives and negatives are contrasted."""

from hf_contrastive.objectives.binary import NCE, NegativeSampling
from hf_contrastive.objectives.huffman import HierarchicalSoftmax, HuffmanTree, huffman_tree
from hf_contrastive.objectives.infonce import InfoNCE, SampledSoftmax, cross_entropy_of_pool
from hf_contrastive.objectives.masked_lm import MaskedLanguageModelHead, mask_tokens
from hf_contrastive.objectives.objective import Objective
from hf_contrastive.objectives.order import Order
from hf_contrastive.objectives.softmax import FullSoftmax
from hf_contrastive.objectives.softmax_classifier import SoftmaxClassifier
from hf_contrastive.objectives.triplet import Triplet

OBJECTIVES: dict[str, type[Objective]] = {
    "infonce": InfoNCE,
    "sampled_softmax": SampledSoftmax,
    "negative_sampling": NegativeSampling,
    "nce": NCE,
    "triplet": Triplet,
    "order": Order,
}

__all__ = [
    "NCE",
    "OBJECTIVES",
    "FullSoftmax",
    "HierarchicalSoftmax",
    "HuffmanTree",
    "InfoNCE",
    "MaskedLanguageModelHead",
    "NegativeSampling",
    "Objective",
    "Order",
    "SampledSoftmax",
    "SoftmaxClassifier",
    "Triplet",
    "cross_entropy_of_pool",
    "huffman_tree",
    "mask_tokens",
]
