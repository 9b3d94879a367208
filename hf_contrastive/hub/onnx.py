"""A sentence encoder as one ONNX graph, checked against torch before it is kept."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.files import whole_file
from hf_contrastive.models import SentenceEncoder

logger = logging.getLogger(__name__)

FILE = "onnx/model.onnx"
TOLERANCE = 1e-4
_LARGEST = 1_900_000_000  # bytes of weights; a file of this format ends at 2 GB
# Of different lengths and numbers, so that an axis that is fixed by mistake is seen.
_EXAMPLE = ["A man plays the guitar.", "Rain."]
_CHECKED = (
    ["Someone makes music in the street, and two children stop to listen to it.", "Yes.", "The train was late."],
    ["One sentence alone."],
)


class _Graph(nn.Module):
    """Token ids and mask to token vectors and the sentence's vector, as `encode` gives it."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encoder.tokens(input_ids, attention_mask)
        vectors = self.encoder.pooled(tokens, attention_mask)
        if self.encoder.normalize:
            vectors = nn.functional.normalize(vectors, dim=-1)
        return tokens.last_hidden_state, vectors


def export_onnx(folder: Path) -> float:
    """Write `onnx/model.onnx` into a model folder; batch and length are free.

    Inputs `input_ids` and `attention_mask`, int64 [S, L]; outputs `last_hidden_state` [S, L, D] and
    `sentence_embedding` [S, K], pooled and mapped as `SentenceEncoder.encode` does.

    Returns:
        The largest difference from torch that was found, of vectors divided by the length of torch's.

    Raises:
        RecipeError: a package is missing.
        CheckpointError: no sentence encoder in `folder`, one that torch.onnx cannot export, or a graph that differs
            from torch by more than 1e-4; nothing is left behind then.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise RecipeError(f"ONNX export needs {package}: pip install 'hf-contrastive[onnx]'")
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: no config.json; name the folder final/ of a finished run on sentences")
    encoder = SentenceEncoder.from_pretrained(str(folder), fast_dropout=False).eval()
    size = sum(parameter.numel() * parameter.element_size() for parameter in encoder.parameters())
    if size > _LARGEST:
        raise CheckpointError(f"{folder}: {size / 1e9:.1f} GB of weights; one ONNX file holds less than 2 GB")
    with whole_file(folder / FILE) as partial:
        try:
            _export(encoder, partial)
            _strip(partial)
            difference = _difference(encoder, partial)
            if not difference <= TOLERANCE:
                raise CheckpointError(
                    f"{folder}: the ONNX graph differs from torch by {difference:.1e}, more than {TOLERANCE:.0e}; "
                    "publish without it"
                )
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return difference


def _export(encoder: SentenceEncoder, path: Path) -> None:
    batch = _batch(encoder, _EXAMPLE)
    axes = {0: "batch", 1: "length"}
    try:
        with torch.no_grad(), _quiet():
            torch.onnx.export(
                _Graph(encoder),
                (batch["input_ids"], batch["attention_mask"]),
                path,
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=["input_ids", "attention_mask"],
                output_names=["last_hidden_state", "sentence_embedding"],
                dynamic_shapes={"input_ids": axes, "attention_mask": axes},
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise CheckpointError(
            f"torch.onnx cannot export a {encoder.config.model_type} model ({reason}); publish without it"
        ) from error


def _strip(path: Path) -> None:
    """Take out of the file what the exporter notes of each node: stack traces, with folders of this machine."""
    import onnx

    model = onnx.load(path)
    for part in (model, model.graph, *model.functions):
        _clear(part)
        graph = part.graph if part is model else part
        for item in (*graph.node, *graph.value_info):
            _clear(item)
    for item in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        _clear(item)
    onnx.save(model, path)


def _clear(item: Any) -> None:
    item.doc_string = ""
    del item.metadata_props[:]


def _difference(encoder: SentenceEncoder, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    largest = 0.0
    for texts in _CHECKED:
        batch = _batch(encoder, texts)
        found = session.run(["sentence_embedding"], {name: value.numpy() for name, value in batch.items()})[0]
        wanted = encoder.encode(texts)
        lengths = wanted.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        largest = max(largest, float(((torch.from_numpy(found) - wanted) / lengths).abs().max()))
    return largest


def _batch(encoder: SentenceEncoder, texts: list[str]) -> dict[str, Tensor]:
    batch = encoder.tokenizer(texts, padding=True, truncation=True, max_length=encoder.max_length, return_tensors="pt")
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own insides; its errors are raised."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
