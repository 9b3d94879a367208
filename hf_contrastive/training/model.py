"""Everything that is trained, as one module with one forward pass.

DDP, FSDP, DeepSpeed, compile, autocast, accumulation, checkpoints and resume work because the Trainer sees an ordinary
model. Encoder and sampler meet only through detached tensors, so each gets exactly its own gradient.
"""

import torch
from torch import Tensor, nn

from hf_contrastive.models import SentenceEncoder
from hf_contrastive.negatives import InBatchNegatives, NegativeSampler
from hf_contrastive.objectives import InfoNCE, MaskedLanguageModelHead, Objective, mask_tokens
from hf_contrastive.training.bank import SentenceBank
from hf_contrastive.training.contrast import Contrast, Sentences
from hf_contrastive.training.distributed import longest_of_ranks
from hf_contrastive.training.sentence_model import ContrastiveOutput, SentenceModel

_METRIC_ROWS = 512  # alignment and uniformity are logged of this many rows at most


class ContrastiveModel(SentenceModel):
    """Encoder, source of negatives and objective.

    Args:
        encoder: what is trained and published.
        negatives: where negatives come from; default: the batch.
        objective: how they are contrasted; default: InfoNCE at temperature 0.05.
        bank: sentences of earlier steps, where `negatives` need them.
        reverse: where the negatives of the loss from positives to the batch's anchors come from, whose mean with the
            other is taken; `None` leaves it out.
        second_encoder: encodes positives and all other candidates; `None`: the same that encodes the anchors. It is
            trained beside the other and not published.
        same_dropout_mask: both views of a sentence have the same mask, of dropout pairs only.
        mlm_weight: weight of the masked-language-model term; 0 leaves it out.
        mlm_probability: share of tokens masked for it.
        chunk_size: sentences encoded at a time.
        recompute: trade time for memory, see `encode_in_chunks`.
        gather: negatives from all ranks.
        seed: of the samplers' draws.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        negatives: NegativeSampler | None = None,
        objective: Objective | None = None,
        *,
        bank: SentenceBank | None = None,
        reverse: NegativeSampler | None = None,
        second_encoder: SentenceEncoder | None = None,
        same_dropout_mask: bool = False,
        mlm_weight: float = 0.0,
        mlm_probability: float = 0.15,
        chunk_size: int | None = None,
        recompute: bool = True,
        gather: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(encoder, second_encoder, chunk_size=chunk_size, recompute=recompute)
        negatives = negatives if negatives is not None else InBatchNegatives()
        objective = objective if objective is not None else InfoNCE()
        self.contrast = Contrast(negatives, objective, bank, gather, seed)
        self.reverse = Contrast(reverse, objective, None, gather, seed) if reverse is not None else None
        self.same_dropout_mask = same_dropout_mask
        self.mlm_weight = mlm_weight
        self.mlm_probability = mlm_probability
        self.mlm_head = None
        self.special_ids: Tensor
        if mlm_weight > 0:
            self.mlm_head = MaskedLanguageModelHead(encoder.width, encoder.config.vocab_size)
            special = torch.tensor(encoder.tokenizer.all_special_ids)
            self.register_buffer("special_ids", special, persistent=False)

    @property
    def negatives(self) -> NegativeSampler:
        """Where negatives come from."""
        return self.contrast.negatives

    def set_step(self, step: int) -> None:
        """What draws and schedules of the samplers follow from."""
        self.contrast.step = step

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        keys: Tensor,
        negative_rows: Tensor,
        lengths: list[int],
    ) -> ContrastiveOutput:
        """One step.

        Args:
            input_ids: [S, L]: B anchors, then their B positives, then M hard negatives.
            attention_mask: [S, L].
            keys: [S], equal where two texts are equal.
            negative_rows: [M], which of the B rows each hard negative belongs to.
            lengths: S numbers of tokens, on the host.
        """
        if "hard" in self.negatives.needs:
            missing = longest_of_ranks(len(negative_rows), input_ids.device) - len(negative_rows)
            if missing:
                # Ranks must encode equally many: FSDP's forwards are collective. Row 0 stands in, owned by none.
                input_ids = torch.cat([input_ids, input_ids[:1].expand(missing, -1)])
                attention_mask = torch.cat([attention_mask, attention_mask[:1].expand(missing, -1)])
                keys = torch.cat([keys, keys[:1].expand(missing)])
                negative_rows = torch.cat([negative_rows, negative_rows.new_full((missing,), -1)])
                lengths = [*lengths, *[lengths[0]] * missing]
        count = (len(lengths) - len(negative_rows)) // 2
        if self.same_dropout_mask:
            # The same sentence under the same mask is the same vector: it is computed once.
            vectors = self._encode(input_ids[:count], attention_mask[:count], lengths[:count]).repeat(2, 1)
        elif self.second_encoder is not None:
            ours = self._encode(input_ids[:count], attention_mask[:count], lengths[:count])
            theirs = self._encode_candidates(input_ids[count:], attention_mask[count:], lengths[count:])
            vectors = torch.cat([ours, theirs])
        else:
            vectors = self._encode(input_ids, attention_mask, lengths)
        sizes = [count, count, len(negative_rows)]
        kinds = zip(
            vectors.split(sizes), keys.split(sizes), input_ids.split(sizes), attention_mask.split(sizes), strict=True
        )
        anchors, positives, hard = (Sentences(v, k, input_ids=i, attention_mask=m) for v, k, i, m in kinds)
        hard.rows = negative_rows

        has_hard = "hard" in self.negatives.needs
        loss, metrics = self.contrast(anchors, positives, hard if has_hard else None, self._encode_candidates)
        if self.reverse is not None:
            loss = (loss + self.reverse(positives, anchors)[0]) / 2
        if self.mlm_head is not None:
            mlm = self._masked_lm(input_ids[:count], attention_mask[:count])
            loss = loss + self.mlm_weight * mlm
            metrics["mlm_loss"] = mlm.detach()
        first = slice(_METRIC_ROWS)
        metrics |= geometry_of_batch(anchors.vectors[first].detach(), positives.vectors[first].detach())
        return ContrastiveOutput(loss=loss, metrics=metrics)

    def _encode(self, input_ids: Tensor, attention_mask: Tensor, lengths: list[int]) -> Tensor:
        """Unit vectors [n, D]."""
        return nn.functional.normalize(self.vectors(input_ids, attention_mask, lengths), dim=-1)

    def _encode_candidates(self, input_ids: Tensor, attention_mask: Tensor, lengths: list[int]) -> Tensor:
        """Unit vectors [n, D] of what anchors are compared with."""
        vectors = self.vectors(input_ids, attention_mask, lengths, number=len(self.encoders) - 1)
        return nn.functional.normalize(vectors, dim=-1)

    def _masked_lm(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The masked-language-model loss of the anchors, on their own masked copy."""
        masked, labels = mask_tokens(
            input_ids,
            attention_mask,
            special_ids=self.special_ids,
            mask_id=self.encoder.tokenizer.mask_token_id,
            vocab_size=self.encoder.config.vocab_size,
            probability=self.mlm_probability,
        )
        hidden = self.encoder.backbone(input_ids=masked, attention_mask=attention_mask).last_hidden_state
        assert self.mlm_head is not None
        return self.mlm_head(hidden, labels, self.encoder.backbone.get_input_embeddings().weight)


def geometry_of_batch(anchors: Tensor, positives: Tensor) -> dict[str, Tensor]:
    """Alignment and uniformity (Wang & Isola, 2020) of unit vectors [n, D]; left on the device, so nothing waits."""
    figures = {"alignment": (anchors - positives).square().sum(1).mean()}
    n = len(anchors)
    if n > 1:
        squared = (2 - 2 * anchors.float() @ anchors.float().T).clamp(min=0)
        pairs = (-2 * squared).exp().sum() - n  # the diagonal's terms are 1
        figures["uniformity"] = (pairs / (n * (n - 1))).clamp(min=1e-38).log()
    return figures
