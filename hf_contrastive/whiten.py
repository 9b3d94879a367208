"""`hf-contrastive whiten`: one pass over a corpus, and the model again with the whitening as its last module.

The pass keeps a mean and a covariance, never the vectors. After every block of sentences they are written down beside
the output, so that a killed run encodes only what it has not seen.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm
from xxhash import xxh3_64

from hf_contrastive.arguments import DataArguments
from hf_contrastive.data import load_training_data
from hf_contrastive.errors import CheckpointError, DataError, RecipeError
from hf_contrastive.files import whole_file, write_json
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.loading import load_for_inference
from hf_contrastive.models.whitening import RunningMoments, Whitening, check_enough, fit_whitening
from hf_contrastive.retrieval.fingerprint import model_fingerprint

logger = logging.getLogger(__name__)

_BLOCK = 4096  # rows between two states on the disk


def whiten(
    model: str,
    data: str,
    output: Path,
    *,
    dimension: int | None = None,
    normalize: bool | None = None,
    columns: Sequence[str] = (),
    data_name: str | None = None,
    split: str = "train",
    max_rows: int | None = None,
    pooler: str | None = None,
    max_length: int | None = None,
    batch_size: int = 64,
    device: str | None = None,
    revision: str = "main",
) -> Whitening:
    """Fit a whitening to a model's vectors of a corpus, and publish the model with it.

    Vectors are encoded in float32 and fitted before they are made unit vectors. Every sentence counts as often as it
    occurs.

    Args:
        model: folder or Hub name.
        data: file, glob or Hub name of sentences, pairs or triplets: every text of a row is a sentence.
        output: folder for the model, written as a whole at the end.
        dimension: of the whitened vectors, the widest directions; default: all in which the vectors differ.
        normalize: append the module that makes unit vectors; default: as the model has it.
        columns: which hold sentences; default: recognised.

    Raises:
        ContrastiveError: model, data, output or dimension that cannot be used; all but a covariance that turns out to
            be singular is found before anything is encoded.
    """
    _check_output(output)
    if dimension is not None and dimension < 1:
        raise RecipeError(f"dimension: must be positive, got {dimension}")
    rows = _load(data, columns, data_name, split, max_rows)
    encoder = load_for_inference(model, pooler=pooler, max_length=max_length, revision=revision, device=device)
    if dimension is not None and dimension > encoder.width:
        raise RecipeError(f"dimension: {dimension} is more than the {encoder.width} numbers of the model's vectors")
    digest, sentences = _survey(rows)
    check_enough(sentences, dimension or encoder.width)
    settings = {
        "data": digest,
        "model": model_fingerprint(encoder),
        "pooler": encoder.eval_pooler,
        "max_length": encoder.max_length,
        "block": _BLOCK,
    }
    moments = _moments(encoder, rows, sentences, batch_size, _State(_work(output) / "moments.safetensors", settings))
    fitted = fit_whitening(moments, dimension)
    if dimension is None and fitted.rank < encoder.width:
        logger.warning(
            "the vectors differ in %d of %d directions; the whitened ones have as many dimensions",
            *(fitted.rank, encoder.width),
        )
    width = encoder.width
    encoder.project(fitted.weight, fitted.bias)
    if normalize is not None:
        encoder.normalize = normalize
    about = {"data": data, "sentences": moments.count, "from": width, "to": encoder.width, "variance": fitted.kept}
    _publish(encoder, about, output)
    return fitted


def _load(data: str, columns: Sequence[str], name: str | None, split: str, max_rows: int | None) -> Dataset:
    parts: dict[str, Any] = {}
    if columns:
        parts = dict(zip(("anchor", "positive"), columns, strict=False)) | {"negatives": list(columns[2:])}
    mapping = json.dumps(parts) if parts else None  # JSON is YAML, whatever characters the names have
    arguments = DataArguments(data, name, train_split=split, columns=mapping, max_train_rows=max_rows)
    try:
        dataset = load_training_data(arguments)
    except DataError as error:
        hint = " (here: --column COLUMN, once for each)" if "columns" in str(error) else ""
        raise DataError(f"{error}{hint}") from error
    assert isinstance(dataset, Dataset)
    return dataset


def _blocks(rows: Dataset, start: int = 0) -> Iterator[list[str]]:
    """Sentences of so many rows at a time, from row `start` on."""
    for first in range(start, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        sentences = [*block["anchor"], *block.get("positive", ())]
        yield sentences + [negative for negatives in block.get("negatives", ()) for negative in negatives]


def _survey(rows: Dataset) -> tuple[str, int]:
    """A hash of all sentences, and how many they are."""
    digest, count = xxh3_64(), 0
    for sentences in _blocks(rows):
        digest.update(json.dumps(sentences).encode())
        count += len(sentences)
    return f"{count:,} sentences {digest.hexdigest()}", count


class _State:
    """The moments of the rows so far, on the disk; only a run with the same settings takes them up."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = settings

    def load(self, moments: RunningMoments) -> int:
        """Fill in what is there; returns the rows it holds."""
        if not self.path.is_file():
            return 0
        remedy = f"choose another --output, or delete {self.path.parent} to start afresh"
        try:
            with safe_open(self.path, framework="pt") as file:
                about = file.metadata() or {}
                old = json.loads(about["settings"])
                moments.mean, moments.scatter = file.get_tensor("mean"), file.get_tensor("scatter")
        except (SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(f"{self.path}: cannot be read ({error}); {remedy}") from error
        differ = [f"{key} ({old.get(key)} -> {new})" for key, new in self.settings.items() if old.get(key) != new]
        if differ:
            raise RecipeError(
                f"{self.path.parent} was begun with other settings, which differ in {', '.join(differ)}; {remedy}"
            )
        moments.count = int(about["count"])
        return int(about["rows"])

    def save(self, moments: RunningMoments, rows: int) -> None:
        about = {"settings": json.dumps(self.settings), "rows": str(rows), "count": str(moments.count)}
        with whole_file(self.path) as partial:
            save_file({"mean": moments.mean, "scatter": moments.scatter}, partial, metadata=about)


def _moments(
    encoder: SentenceEncoder, rows: Dataset, sentences: int, batch_size: int, state: _State
) -> RunningMoments:
    moments = RunningMoments(encoder.width)
    done = state.load(moments)
    if done:
        logger.info("%s sentences were encoded before; going on from there", f"{moments.count:,}")
    with tqdm(total=sentences, initial=moments.count, unit="sentences", desc="encode") as bar:
        for number, block in enumerate(_blocks(rows, done), start=1):
            vectors = encoder.encode(block, batch_size=batch_size, normalize=False)
            finite = vectors.isfinite().all(dim=1)
            if not finite.all():
                bad = block[int((~finite).nonzero()[0])]
                raise CheckpointError(f"model: its vector of {bad!r:.80} is not finite; choose another checkpoint")
            moments.update(vectors)
            state.save(moments, min(done + number * _BLOCK, len(rows)))
            bar.update(len(block))
    return moments


def _publish(encoder: SentenceEncoder, about: dict[str, Any], output: Path) -> None:
    """Write beside the output and rename: a kill leaves no half of a model."""
    made = _work(output) / "model"
    encoder.save_pretrained(made)
    write_json(made / "whitening.json", about)
    made.replace(output)
    shutil.rmtree(_work(output))


def _work(output: Path) -> Path:
    return output.with_name(output.name + ".work")


def _check_output(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RecipeError(f"output: {output} is there already; choose another folder, or delete it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=".writable-"):
            pass
    except OSError as error:
        raise RecipeError(
            f"output: {output.parent} cannot be written ({error.strerror}); choose another folder"
        ) from error
