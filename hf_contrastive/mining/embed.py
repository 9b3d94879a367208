"""Every distinct text through the encoder once, in shards: a killed run encodes only what is missing."""

import logging
from pathlib import Path

import numpy as np
from accelerate import PartialState
from torch import Tensor
from tqdm.auto import tqdm

from hf_contrastive.errors import CheckpointError
from hf_contrastive.files import whole_file
from hf_contrastive.mining.corpus import Corpus
from hf_contrastive.mining.work import Shards
from hf_contrastive.models import SentenceEncoder

logger = logging.getLogger(__name__)


class Vectors:
    """Unit vectors by text id, kept on the disk as float16.

    Args:
        folder: of the shards `00000.npy`, ...
        count: T, distinct texts.
        width: D.
        shard_size: texts a shard.
    """

    def __init__(self, folder: Path, count: int, width: int, shard_size: int) -> None:
        self.shards = Shards(folder, count, shard_size, ".npy", self._is_complete)
        self.width = width

    def __getitem__(self, ids: np.ndarray) -> np.ndarray:
        """float32 unit vectors [n, D] for ids [n]."""
        out = np.empty((len(ids), self.width), dtype=np.float32)
        numbers = ids // self.shards.size
        for number in np.unique(numbers):
            here = numbers == number
            # Opened for the moment: the shards of a large corpus are more files than a process may hold open.
            stored = np.load(self.shards.path(int(number)), mmap_mode="r", allow_pickle=False)
            out[here] = stored[ids[here] - number * self.shards.size]
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)  # float16 left them a little off

    def write(self, number: int, vectors: np.ndarray) -> None:
        """Store unit vectors [n, D] as shard `number`."""
        with whole_file(self.shards.path(number)) as path, path.open("wb") as file:
            np.save(file, vectors.astype(np.float16), allow_pickle=False)

    def _is_complete(self, path: Path, count: int) -> bool:
        try:
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s is damaged (%s); encoding its sentences again", path, error)
            return False
        return stored.shape == (count, self.width) and stored.dtype == np.float16


def encode_missing(
    encoder: SentenceEncoder, corpus: Corpus, vectors: Vectors, ranks: PartialState, batch_size: int, bf16: bool
) -> None:
    """Encode the texts whose shards are not there yet; each process takes its share of the shards.

    Raises:
        CheckpointError: the model gives numbers that are not finite.
    """
    shards = vectors.shards
    missing = shards.missing(ranks)
    left = sum(len(shards.span(number)) for number in missing)
    logger.info(
        "%s of %s distinct texts are still to be encoded; processes: %d",
        f"{left:,}",
        f"{shards.count:,}",
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
            texts = corpus.texts(np.asarray(shards.span(number))).to_pylist()
            rows = encoder.encode(texts, batch_size=batch_size, bf16=bf16, normalize=True, forward=forward).numpy()
            finite = np.isfinite(rows).all(axis=1)
            if not finite.all():
                bad = texts[int(np.argmin(finite))]
                raise CheckpointError(f"model: its vector of {bad!r:.80} is not finite; choose another checkpoint")
            vectors.write(number, rows)
    ranks.wait_for_everyone()
