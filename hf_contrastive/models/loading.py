"""An encoder to be used as it is: at test, on the device where it is fastest."""

import torch

from hf_contrastive.arguments import POOLERS, one_of
from hf_contrastive.errors import RecipeError
from hf_contrastive.models.sentence_encoder import SentenceEncoder
from hf_contrastive.models.static_encoder import StaticEncoder, is_static


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
        RecipeError: an unknown pooler or device, or more tokens than the model has positions.
        CheckpointError: nothing there that can be loaded.
    """
    if pooler is not None:
        one_of("pooler", pooler, POOLERS)
    where = inference_device(device)
    encoder = SentenceEncoder.from_pretrained(model, pooler=pooler, max_length=max_length, revision=revision)
    encoder.check_positions(encoder.max_length)
    return encoder.to(where).eval()


def load_for_measuring(
    model: str,
    *,
    pooler: str | None = None,
    max_length: int | None = None,
    revision: str = "main",
    device: str | None = None,
) -> SentenceEncoder | StaticEncoder:
    """As `load_for_inference`, or averaged static vectors where a folder of sentence-transformers' has those.

    Raises:
        RecipeError: beside those of `load_for_inference`, pooler or length of static vectors, which have neither.
    """
    if not is_static(model):
        return load_for_inference(model, pooler=pooler, max_length=max_length, revision=revision, device=device)
    for key, value in (("pooler", pooler), ("max_length", max_length)):
        if value is not None:
            raise RecipeError(
                f"{key}: {model} has static vectors, whose mean over all of a text is taken; leave it out"
            )
    return StaticEncoder.from_pretrained(model).to(inference_device(device)).eval()


def inference_device(device: str | None = None) -> torch.device:
    """The device of that name; default: the first accelerator, else the CPU.

    Raises:
        RecipeError: no such device, or not on this machine.
    """
    if device is not None:
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            reason = str(error).splitlines()[0]
            raise RecipeError(f"device: {device!r} cannot be used ({reason}); say cpu, cuda or cuda:1") from error
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
