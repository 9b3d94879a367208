"""A queue of past embeddings: cross-batch memory (Wang et al., 2020), without a momentum encoder."""

from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler, usable
from hf_contrastive.negatives.registry import register


@register("queue")
class QueueNegatives(NegativeSampler):
    """Every row of the bank, with the vector of when it was last encoded: first in, first out.

    Args:
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    needs = frozenset({"bank"})

    def __init__(self, mask_duplicates: bool = True) -> None:
        super().__init__()
        self.mask_duplicates = mask_duplicates

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """The whole region `bank`, [P]; it is not drawn, so `k` does not apply."""
        ids = context.rows("bank")
        return Negatives(ids, usable(context, ids, self.mask_duplicates), "bank")
