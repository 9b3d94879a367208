"""Draws that neighbouring anchors have in common."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from hf_contrastive.negatives import Context, Negatives, NegativeSampler


class SharedDraws(NegativeSampler):
    """Asks a sampler for draws of whole groups of neighbouring anchors, and proposes them to each anchor of a group.

    A group is one anchor to the sampler, which must look at no vectors; its positives are those of all its anchors.

    Args:
        part: asked for draws of each group's own.
        size: anchors a group, of which a batch has a whole number.
        own_positives: from ids [G, K] of the groups to bool [B, K], where they are an anchor's own positives, which
            are left out; `None` leaves none out.
    """

    def __init__(self, part: NegativeSampler, size: int, own_positives: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        self.part = part
        self.size = size
        self.own_positives = own_positives
        self.needs, self.gives_log_q, self.reads_vectors = part.needs, part.gives_log_q, part.reads_vectors

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """Ids [G, K] with masks and probabilities [B, K]."""
        groups = replace(
            context,
            anchors=context.anchors[:: self.size],
            positive_ids=context.positive_ids.view(len(context.anchors) // self.size, -1),
            anchor_keys=None,
            mask_positives=False,  # each anchor's own are, not those of its group
        )
        drawn = self.part.sample(groups, k)
        mask = drawn.mask.repeat_interleave(self.size, 0)
        if self.own_positives is not None:
            mask &= ~self.own_positives(drawn.ids)
        log_q, positive_log_q = drawn.log_q, drawn.positive_log_q
        return Negatives(
            drawn.ids,
            mask,
            drawn.region,
            log_q=None if log_q is None else log_q.repeat_interleave(self.size, 0),
            positive_log_q=None if positive_log_q is None else positive_log_q.view(context.positive_ids.shape),
            trace=(drawn, groups),
        )

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        """The part's weights, [B, K]."""
        drawn, groups = negatives.trace
        weights = self.part.weigh(drawn, groups)
        return None if weights is None else weights.repeat_interleave(self.size, 0)
