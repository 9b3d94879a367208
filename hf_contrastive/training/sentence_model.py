"""What all modules that train a sentence encoder share: its vectors, chunk by chunk, and what the Trainer asks for."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from hf_contrastive.models import SentenceEncoder
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.training.chunking import WordLookup, encode_in_chunks


@dataclass
class ContrastiveOutput(ModelOutput):
    """Loss of a step, and figures to log (detached scalars, averaged until the next log)."""

    loss: Tensor | None = None
    metrics: dict[str, Tensor] | None = None


class SentenceModel(nn.Module):
    """An encoder inside what trains it.

    Args:
        encoder: what is trained and published.
        second_encoder: trained beside it and not published.
        chunk_size: sentences encoded at a time.
        recompute: trade time for memory, see `encode_in_chunks`.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        second_encoder: SentenceEncoder | None = None,
        *,
        chunk_size: int | None = None,
        recompute: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.second_encoder = second_encoder
        self.chunk_size = chunk_size
        self.recompute = recompute
        self.lookups = [
            WordLookup(each.backbone.get_input_embeddings()) if chunk_size is not None else None
            for each in self.encoders
        ]
        # What FSDP wraps: the backbone's layers.
        self._no_split_modules = getattr(encoder.backbone, "_no_split_modules", None)

    @property
    def encoders(self) -> list[SentenceEncoder]:
        """All that are trained, the published one first."""
        return [self.encoder] if self.second_encoder is None else [self.encoder, self.second_encoder]

    @property
    def negatives(self) -> NegativeSampler | None:
        """Where negatives come from, if there are any."""
        return None

    def set_step(self, step: int) -> None:
        """What draws follow from, where something is drawn: optimizer steps so far."""

    @property
    def config(self) -> Any:
        """The backbone's configuration, for those that ask a model for one."""
        return self.encoder.config

    @property
    def _keys_to_ignore_on_save(self) -> list[str]:
        """Second names of shared weights: checkpoints hold the first only, and the Trainer asks which are missing."""
        return sorted(set(self.state_dict()) - set(without_shared(self.state_dict())))

    def tie_weights(self) -> None:
        """Nothing to do: loading never unties them."""

    def gradient_checkpointing_enable(self, **kwargs: Any) -> None:
        """Recompute activations layer by layer inside the backbone, on top of what chunks do."""
        for encoder in self.encoders:
            encoder.backbone.gradient_checkpointing_enable(**kwargs)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors [S, D] of the encoder, asked for at the root: FSDP gathers the weights for calls it sees."""
        return self.encoder(input_ids, attention_mask)

    def vectors(self, input_ids: Tensor, attention_mask: Tensor, lengths: list[int], number: int = 0) -> Tensor:
        """[n, D] of the encoder of that number, as its pooler and head give them, with gradient."""
        recompute = self.recompute and self.training
        encoder, lookup = self.encoders[number], self.lookups[number]
        return encode_in_chunks(encoder, input_ids, attention_mask, lengths, self.chunk_size, recompute, lookup)


def without_shared(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in which tensors that share memory (tied embeddings) have one name, as safetensors wants it."""
    seen: set[tuple[int, torch.Size]] = set()
    distinct = {}
    for name, value in state_dict.items():
        place = (value.data_ptr(), value.shape)
        if place not in seen or value.numel() == 0:
            distinct[name] = value
        seen.add(place)
    return distinct
