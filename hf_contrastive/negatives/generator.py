"""The learned distribution of adversarial negatives, g(candidate | anchor), over a pool."""

import torch
from torch import Tensor, nn

from hf_contrastive.negatives.protocol import full_precision


class PoolGenerator(nn.Module):
    """Log-bilinear: g(j | i) is the softmax over the pool of ((U a_i) . (V c_j) + a_i . c_j) / temperature.

    Args:
        width: D, size of the vectors.
        hidden: size of the two projections: U begins orthonormal, V at zero, so that their product begins at zero and
            learns at once.
        temperature: of the softmax.
        warm_start: keep the second term, the similarity: g begins by preferring what is near the anchor, and learns
            where that is wrong. Without it g begins uniform.
        seed: of the initial values; torch's own random numbers are left as they were.
    """

    def __init__(
        self, width: int, hidden: int = 64, temperature: float = 0.1, warm_start: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        hidden = min(hidden, width)
        rows = torch.linalg.qr(torch.randn(width, hidden, generator=random)).Q.T
        self.anchor_projection = nn.Parameter(rows.contiguous() * (width / hidden) ** 0.5)
        self.candidate_projection = nn.Parameter(torch.zeros(hidden, width))
        self.temperature = temperature
        self.warm_start = warm_start

    def forward(self, anchors: Tensor, rows: Tensor) -> Tensor:
        """Logits [B, P] of pool rows [P, D], or [B, K] of each anchor's own rows [B, K, D]."""
        with full_precision(anchors.device):
            anchors, rows = anchors.float(), rows.float()
            logits = _products(anchors @ self.anchor_projection.T, rows @ self.candidate_projection.T)
            if self.warm_start:
                logits = logits + _products(anchors, rows)
            return logits / self.temperature


def _products(anchors: Tensor, rows: Tensor) -> Tensor:
    return anchors @ rows.T if rows.dim() == 2 else torch.einsum("bd,bkd->bk", anchors, rows)


def without(logits: Tensor, absent: Tensor) -> Tensor:
    """Logits [B, P] whose softmax is 0 at the `absent` [P] rows.

    Their log probability is a large negative number instead of minus infinity, so that products with it stay finite.
    """
    return logits.masked_fill(absent, -1e4)


def entropy(log_probabilities: Tensor) -> Tensor:
    """Entropy [B], in nats, of distributions [B, P]."""
    return -(log_probabilities.exp() * log_probabilities).sum(-1)
