"""Hard negatives that the dataset brings: NLI contradictions, mined passages (SimCSE, section 4)."""

import torch
from torch import Tensor

from hf_contrastive.negatives.protocol import Context, Negatives
from hf_contrastive.negatives.region import WholeRegion
from hf_contrastive.negatives.registry import register


@register("hard")
class HardNegatives(WholeRegion):
    """The hard negatives of every row in the batch, each row's own counted `weight` times.

    Args:
        weight: alpha of SimCSE's supervised loss; 1 counts all alike.
        mask_duplicates: leave out candidates whose text equals the anchor's or its positive's.
    """

    region = "hard"

    def __init__(self, weight: float = 1.0, mask_duplicates: bool = True) -> None:
        super().__init__(mask_duplicates)
        if not weight > 0:
            raise ValueError(f"weight must be greater than 0, got {weight}")
        self.weight = weight

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        """`weight` where a hard negative came with the anchor itself, else 1: [B, P]."""
        if self.weight == 1.0:
            return None
        own = context.owners[negatives.ids].unsqueeze(0) == context.positive_ids.unsqueeze(1)
        return torch.where(own, self.weight, 1.0)
