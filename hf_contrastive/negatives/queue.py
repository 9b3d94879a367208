"""A queue of past embeddings: cross-batch memory (Wang et al., 2020), without a momentum encoder."""

from hf_contrastive.negatives.region import WholeRegion
from hf_contrastive.negatives.registry import register


@register("queue")
class QueueNegatives(WholeRegion):
    """Every row of the bank, with the vector of when it was last encoded: first in, first out.

    Args:
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    region = "bank"
