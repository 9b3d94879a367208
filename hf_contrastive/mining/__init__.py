"""Hard negatives mined over a whole corpus: encode, search, filter, write."""

from hf_contrastive.mining.filters import Rules
from hf_contrastive.mining.mine import mine
from hf_contrastive.mining.settings import MiningSettings

__all__ = ["MiningSettings", "Rules", "mine"]
