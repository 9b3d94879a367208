"""Self-adversarial weights (RotatE: Sun et al., ICLR 2019)."""

import torch
from torch import Tensor

from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler, full_precision
from hf_contrastive.negatives.registry import register


@register("self_adversarial")
class SelfAdversarial(NegativeSampler):
    """Another sampler's proposals, weighted by softmax(alpha * similarity) over the usable ones of each anchor.

    The weights of an anchor sum to the number of its usable proposals: `alpha: 0` is the part itself. RotatE's own sum
    to 1: those of a part that draws with `stands_for: 1`, where none of its draws is masked.

    Args:
        part: whose proposals are weighted.
        alpha: inverse temperature of the weights; the similarity is the cosine of sentences, the score of words and
            graphs.
    """

    def __init__(self, part: NegativeSampler, alpha: float = 10.0) -> None:
        super().__init__()
        if not alpha >= 0:
            raise ValueError(f"alpha must not be negative, got {alpha}")
        self.part = part
        self.alpha = alpha
        self.needs = part.needs
        self.gives_log_q = part.gives_log_q

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """What the part proposes."""
        return self.part.sample(context, k)

    @torch.no_grad()
    def weigh(self, negatives: Negatives, context: Context) -> Tensor:
        """The part's own weights times the self-adversarial ones, [B, P]."""
        scores = similarity(context, negatives)
        shares = masked_softmax(self.alpha * scores, negatives.mask)
        weights = shares * negatives.mask.sum(1, keepdim=True)
        own = self.part.weigh(negatives, context)
        return weights if own is None else weights * own

    def feedback(self, negatives: Negatives, reward: Tensor) -> Tensor | None:
        """The part's own."""
        return self.part.feedback(negatives, reward)


def similarity(context: Context, negatives: Negatives) -> Tensor:
    """The model's scores [B, P] of what was proposed: cosines with the table's rows, or what the task has instead."""
    if context.score is not None:
        columns = [context.score(pool.ids) for pool in negatives.pools()]
        return columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)
    columns = []
    with full_precision(context.anchors.device):
        for pool in negatives.pools():
            rows = context.vectors(pool.ids, pool.region)
            shared = rows.dim() == 2
            columns.append(context.anchors @ rows.T if shared else torch.einsum("bd,bkd->bk", context.anchors, rows))
    return columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension where `mask` is True; all zero where it is nowhere."""
    return scores.masked_fill(~mask, -1e9).softmax(-1) * mask
