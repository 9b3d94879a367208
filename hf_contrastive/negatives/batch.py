"""In-batch negatives: every other anchor's positive, of all processes (SimCSE, equation 1)."""

from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler, usable
from hf_contrastive.negatives.registry import register


@register("in_batch")
class InBatchNegatives(NegativeSampler):
    """The positives of the other anchors in the batch.

    Args:
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    needs = frozenset({"positives"})

    def __init__(self, mask_duplicates: bool = True) -> None:
        super().__init__()
        self.mask_duplicates = mask_duplicates

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """The whole region `positives`, [P]; it is not drawn, so `k` does not apply."""
        ids = context.rows("positives")
        return Negatives(ids, usable(context, ids, self.mask_duplicates), "positives")
