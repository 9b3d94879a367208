"""In-batch negatives: every other anchor's positive, of all processes (SimCSE, equation 1)."""

from hf_contrastive.negatives.region import WholeRegion
from hf_contrastive.negatives.registry import register


@register("in_batch")
class InBatchNegatives(WholeRegion):
    """The positives of the other anchors in the batch.

    Args:
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    region = "positives"
