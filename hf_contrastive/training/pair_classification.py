"""SBERT's training on labelled pairs: encoder and classifier as one module with one forward pass."""

from typing import Any

from torch import Tensor

from hf_contrastive.models import SentenceEncoder
from hf_contrastive.objectives import SoftmaxClassifier
from hf_contrastive.training.sentence_model import ContrastiveOutput, SentenceModel


class PairClassificationModel(SentenceModel):
    """Encoder and softmax classifier of pairs (Reimers & Gurevych, 2019).

    The loss is a mean over the pairs of a batch and nothing else, so that the mean over ranks and accumulated batches
    is that of one large batch.

    Args:
        encoder: what is trained and published.
        classes: of the labels.
        kwargs: `chunk_size` and `recompute` of `SentenceModel`.
    """

    def __init__(self, encoder: SentenceEncoder, classes: int = 3, **kwargs: Any) -> None:
        super().__init__(encoder, **kwargs)
        self.classifier = SoftmaxClassifier(encoder.width, classes)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, lengths: list[int]
    ) -> ContrastiveOutput:
        """One step.

        Args:
            input_ids: [2B, L]: B first sentences, then their B second ones.
            attention_mask: [2B, L].
            labels: [B].
            lengths: 2B numbers of tokens, on the host.
        """
        first, second = self.vectors(input_ids, attention_mask, lengths).chunk(2)
        loss, logits = self.classifier(first, second, labels)
        accuracy = (logits.detach().argmax(1) == labels).float().mean()
        return ContrastiveOutput(loss=loss, metrics={"accuracy": accuracy})
