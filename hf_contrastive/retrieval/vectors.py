"""Texts through the encoder, in shards on the disk: a killed run encodes only what is missing."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor
from tqdm.auto import tqdm

from hf_contrastive.arguments import POOLERS, one_of
from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.files import whole_file
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.loading import inference_device
from hf_contrastive.retrieval.work import Shards

logger = logging.getLogger(__name__)


class Vectors:
    """Vectors of numbered texts, kept on the disk.

    Args:
        folder: of the shards `00000.npy`, ...
        count: T, texts.
        width: D.
        shard_size: texts a shard.
        dtype: `float16` or `float32`.
    """

    def __init__(self, folder: Path, count: int, width: int, shard_size: int, dtype: str = "float16") -> None:
        self.shards = Shards(folder, count, shard_size, ".npy", self._is_complete)
        self.width = width
        self.dtype = np.dtype(dtype)

    def __getitem__(self, ids: np.ndarray) -> np.ndarray:
        """float32 unit vectors [n, D] for ids [n]."""
        out = np.empty((len(ids), self.width), dtype=np.float32)
        numbers = ids // self.shards.size
        for number in np.unique(numbers):
            here = numbers == number
            out[here] = self.read(int(number))[ids[here] - number * self.shards.size]
        return unit(out)  # float16 left them a little off

    def read(self, number: int) -> np.ndarray:
        """One shard as it is stored, [n, D]."""
        # Opened for the moment: the shards of a large corpus are more files than a process may hold open.
        return np.load(self.shards.path(number), mmap_mode="r", allow_pickle=False)

    def write(self, number: int, vectors: np.ndarray) -> None:
        """Store vectors [n, D] as shard `number`."""
        with whole_file(self.shards.path(number)) as path, path.open("wb") as file:
            np.save(file, vectors.astype(self.dtype), allow_pickle=False)

    def _is_complete(self, path: Path, count: int) -> bool:
        try:
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s is damaged (%s); encoding its sentences again", path, error)
            return False
        return stored.shape == (count, self.width) and stored.dtype == self.dtype


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows [n, D] over their lengths; a row of zeros stays one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def processes(device: str | None) -> PartialState:
    """This process among those that were launched with it."""
    cpu = device is not None and torch.device(device).type == "cpu"
    # Shards take processes unequally long, and all wait for what the main process does alone.
    return PartialState(cpu=cpu, timeout=timedelta(days=2))


def check_model_options(pooler: str | None, max_length: int | None, device: str | None) -> None:
    """Raise `RecipeError` for what cannot be asked of any model."""
    if pooler is not None:
        one_of("pooler", pooler, POOLERS)
    if max_length is not None and max_length < 3:
        raise RecipeError(f"max_length: must be at least 3 tokens, got {max_length}")
    inference_device(device)


def load_encoder(
    model: str, pooler: str | None, max_length: int | None, revision: str, device: str | None, ranks: PartialState
) -> SentenceEncoder:
    """The encoder at test, on its device; `ContrastiveError` where it cannot do what is asked."""
    with ranks.main_process_first():
        encoder = SentenceEncoder.from_pretrained(model, pooler=pooler, max_length=max_length, revision=revision)
    encoder.check_positions(encoder.max_length)
    return encoder.to(device or ranks.device).eval()


def encode_missing(
    vectors: Vectors,
    texts: Callable[[range], list[str]],
    encode: Callable[..., Tensor],
    encoder: SentenceEncoder,
    ranks: PartialState,
    what: str = "texts",
) -> None:
    """Encode the texts whose shards are not there yet; each process takes its share of the shards.

    Args:
        vectors: where they are kept.
        texts: the texts of a span of ids.
        encode: `encoder.encode` with its options; called with the texts of a shard.
        what: is counted in the log.

    Raises:
        CheckpointError: the model gives numbers that are not finite, or too large for the type they are stored in.
    """
    shards = vectors.shards
    missing = shards.missing(ranks)
    left = sum(len(shards.span(number)) for number in missing)
    logger.info(
        "%s of %s %s are still to be encoded; processes: %d",
        f"{left:,}",
        f"{shards.count:,}",
        what,
        ranks.num_processes,
    )
    share = missing[ranks.process_index :: ranks.num_processes]
    total = sum(len(shards.span(number)) for number in share)
    with tqdm(total=total, unit="sentences", desc="encode", disable=not ranks.is_main_process) as bar:

        def forward(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            rows = encoder(input_ids, attention_mask)
            bar.update(len(rows))
            return rows

        for number in share:
            span = texts(shards.span(number))
            with np.errstate(over="ignore"):  # what float16 cannot hold is said below
                rows = encode(span, forward=forward).numpy().astype(vectors.dtype)
            finite = np.isfinite(rows).all(axis=1)
            if not finite.all():
                bad = span[int(np.argmin(finite))]
                raise CheckpointError(
                    f"model: its vector of {bad!r:.80} is not finite in {vectors.dtype}; choose another checkpoint"
                )
            vectors.write(number, rows)
    ranks.wait_for_everyone()
