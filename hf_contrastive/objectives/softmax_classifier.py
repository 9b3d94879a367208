"""SBERT's classification objective (Reimers & Gurevych, 2019, section 3): a softmax over [u, v, |u - v|]."""

import torch
from torch import Tensor, nn


class SoftmaxClassifier(nn.Module):
    """Linear layer from the vectors u and v of two sentences, and their difference, to K classes.

    It is there while the encoder is trained and not published with it.

    Args:
        width: size D of the vectors.
        classes: K, at least 2.
    """

    def __init__(self, width: int, classes: int = 3) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"classes must be at least 2, got {classes}")
        self.classes = classes
        self.linear = nn.Linear(3 * width, classes)

    def forward(self, first: Tensor, second: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross entropy (scalar) and logits [B, K]; never in bfloat16.

        Args:
            first: [B, D], as the pooler gives them: their lengths count.
            second: [B, D].
            labels: long [B], each in [0, K).
        """
        with torch.autocast(first.device.type, enabled=False):
            features = torch.cat([first, second, (first - second).abs()], dim=1)
            logits = self.linear(features.to(self.linear.weight.dtype))
            return nn.functional.cross_entropy(logits, labels), logits
