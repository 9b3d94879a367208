"""An encoder to be used as it is: at test, on the device where it is fastest."""

import torch

from hf_contrastive.arguments import POOLERS, one_of
from hf_contrastive.models.sentence_encoder import SentenceEncoder


def load_for_inference(
    model: str,
    *,
    pooler: str | None = None,
    max_length: int | None = None,
    revision: str = "main",
    device: str | None = None,
) -> SentenceEncoder:
    """Load any checkpoint and move it to its device.

    Args:
        model: folder or Hub name.
        pooler: default: what the model's own files say, else `avg`.
        max_length: tokens a sentence; default: the model's own.
        device: default: the first accelerator, else the CPU.

    Raises:
        RecipeError: an unknown pooler, or more tokens than the model has positions.
        CheckpointError: nothing there that can be loaded.
    """
    if pooler is not None:
        one_of("pooler", pooler, POOLERS)
    encoder = SentenceEncoder.from_pretrained(model, pooler=pooler, max_length=max_length, revision=revision)
    encoder.check_positions(encoder.max_length)
    return encoder.to(inference_device(device)).eval()


def inference_device(device: str | None = None) -> torch.device:
    """The device of that name; default: the first accelerator, else the CPU."""
    if device is not None:
        return torch.device(device)
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
