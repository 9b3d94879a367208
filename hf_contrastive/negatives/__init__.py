"""Where negatives come from: one protocol, one file a family."""

from collections.abc import Sequence
from typing import Any

from hf_contrastive.negatives.adversarial import AdversarialNegatives
from hf_contrastive.negatives.alias import AliasTable
from hf_contrastive.negatives.batch import InBatchNegatives
from hf_contrastive.negatives.cached import CachedNegatives
from hf_contrastive.negatives.combinators import Filtered, Joined, Mixture
from hf_contrastive.negatives.hard import HardNegatives
from hf_contrastive.negatives.known import KnownPairs
from hf_contrastive.negatives.noise import UniformNegatives, UnigramNegatives
from hf_contrastive.negatives.protocol import Candidates, Context, Negatives, NegativeSampler, usable
from hf_contrastive.negatives.queue import QueueNegatives
from hf_contrastive.negatives.registry import build_sampler, register, registered
from hf_contrastive.negatives.self_adversarial import SelfAdversarial

__all__ = [
    "AdversarialNegatives",
    "AliasTable",
    "CachedNegatives",
    "Candidates",
    "Context",
    "Filtered",
    "HardNegatives",
    "InBatchNegatives",
    "Joined",
    "KnownPairs",
    "Mixture",
    "NegativeSampler",
    "Negatives",
    "QueueNegatives",
    "SelfAdversarial",
    "UniformNegatives",
    "UnigramNegatives",
    "build_negatives",
    "build_sampler",
    "register",
    "registered",
    "usable",
]


def build_negatives(configs: Sequence[dict[str, Any]], **shared: Any) -> NegativeSampler:
    """The sampler of a recipe: one entry as it is, several joined."""
    samplers = [build_sampler(config, **shared) for config in configs]
    return samplers[0] if len(samplers) == 1 else Joined(samplers)
