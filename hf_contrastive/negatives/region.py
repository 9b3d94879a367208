"""Samplers that draw nothing: every row of a region is a negative."""

from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler, usable


class WholeRegion(NegativeSampler):
    """All rows of `region`, which subclasses name.

    Args:
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    region: str

    def __init__(self, mask_duplicates: bool = True) -> None:
        super().__init__()
        self.needs = frozenset({self.region})
        self.mask_duplicates = mask_duplicates

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """The whole region, [P]; it is not drawn, so `k` does not apply."""
        ids = context.rows(self.region)
        return Negatives(ids, usable(context, ids, self.mask_duplicates), self.region)
