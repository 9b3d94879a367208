"""Vectors with the ids and texts they belong to: read from what `encode` wrote, or encoded at once."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from datasets import Dataset

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.retrieval.encode import description_file
from hf_contrastive.retrieval.settings import default_batch_tokens
from hf_contrastive.retrieval.vectors import unit


@dataclass(frozen=True)
class TextVectors:
    """N vectors of texts.

    Attributes:
        name: where they are from.
        count: N.
        width: D.
        look_up: rows int64 [n] to unit vectors float32 [n, D].
        ids: of the user's data; None: rows go by their numbers.
        texts: None where they were not kept.
        file: that holds them; None: they are in memory.
        made: what `encode` wrote down of how they were made; empty where there is nothing.
        model: that made them, as the user named it.
        revision: of that model on the Hub.
    """

    name: str
    count: int
    width: int
    look_up: Callable[[np.ndarray], np.ndarray]
    ids: Sequence[str] | None = None
    texts: Sequence[str] | None = None
    file: Path | None = None
    made: dict[str, Any] | None = None
    model: str | None = None
    revision: str | None = None

    def id_of(self, row: int) -> str | int:
        """Its id, else its number."""
        return row if self.ids is None else self.ids[row]


def open_vectors(source: str) -> TextVectors | None:
    """What `encode` wrote to a file or folder, or anything laid out like it; None where `source` holds texts.

    Raises:
        RecipeError: a file that is damaged, or whose shape is not that of vectors.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        path = path / "vectors.parquet"
        if not path.is_file():
            raise RecipeError(
                f"{source}: a folder without vectors.parquet; name a file, or a folder that encode wrote"
            )
    if not path.is_file() or path.suffix.lower() not in (".npy", ".parquet"):
        return None
    try:
        return _open_npy(path) if path.suffix.lower() == ".npy" else _open_parquet(path)
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{path}: cannot be read ({error}); encode it anew") from error


def encode_texts(
    encoder: SentenceEncoder, data: Dataset, name: str, batch_tokens: int | None, bf16: bool, progress: bool = True
) -> TextVectors:
    """Rows of `load_passages` as vectors in memory.

    Raises:
        CheckpointError: the model gives numbers that are not finite.
    """
    texts = data["text"][:]
    vectors = encode_rows(encoder, texts, batch_tokens, bf16, progress)
    ids = data["id"][:] if "id" in data.column_names else None
    return TextVectors(name, len(texts), encoder.width, lambda rows: vectors[rows], ids, texts)


def encode_rows(
    encoder: SentenceEncoder, texts: list[str], batch_tokens: int | None, bf16: bool, progress: bool = False
) -> np.ndarray:
    """Texts to unit vectors float32 [N, D]; `CheckpointError` where one is not finite."""
    tokens = batch_tokens or default_batch_tokens(encoder.device)
    vectors = encoder.encode(texts, batch_tokens=tokens, bf16=bf16, normalize=True, progress=progress).numpy()
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        bad = texts[int(np.argmin(finite))]
        raise CheckpointError(f"model: its vector of {bad!r:.80} is not finite; choose another checkpoint")
    return vectors


def _open_npy(path: Path) -> TextVectors:
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    if stored.ndim != 2 or stored.dtype.kind != "f" or not stored.size:
        raise RecipeError(f"{path}: shape {stored.shape} of {stored.dtype} is not vectors [N, D] of real numbers")
    count, width = stored.shape
    return TextVectors(
        str(path), count, width, lambda rows: _unit(stored[rows], rows, path), file=path, **_description(path)
    )


def _open_parquet(path: Path) -> TextVectors | None:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    if "vector" not in schema.names:
        return None
    kind = schema.field("vector").type
    if not pa.types.is_fixed_size_list(kind) or not pa.types.is_floating(kind.value_type):
        raise RecipeError(f"{path}, column 'vector': is {kind}, not a fixed-size list of real numbers")
    if not file.metadata.num_rows:
        raise RecipeError(f"{path}: no rows; encode a file that has some")
    starts = np.cumsum([0, *(file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups))])

    def look_up(rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), kind.list_size), dtype=np.float32)
        groups = np.searchsorted(starts, rows, side="right") - 1
        for group in np.unique(groups):
            column = file.read_row_group(int(group), columns=["vector"])["vector"].combine_chunks()
            if column.null_count:
                raise RecipeError(f"{path}, row group {group}: a row has no vector; encode it anew")
            stored = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, kind.list_size)
            here = groups == group
            out[here] = stored[rows[here] - starts[group]]
        return _unit(out, rows, path)

    columns = {name: file.read(columns=[name])[name].to_pylist() for name in ("id", "text") if name in schema.names}
    return TextVectors(
        str(path),
        int(starts[-1]),
        kind.list_size,
        look_up,
        ids=[str(name) for name in columns["id"]] if "id" in columns else None,
        texts=columns.get("text"),
        file=path,
        **_description(path),
    )


def _unit(vectors: np.ndarray, rows: np.ndarray, path: Path) -> np.ndarray:
    """Unit vectors float32; `RecipeError` where one is not finite: FAISS would pass it over."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        bad = rows[int(np.argmin(finite))]
        raise RecipeError(f"{path}, row {bad} (counted from 0): its vector is not finite; encode it anew")
    return unit(vectors.astype(np.float32))


def _description(path: Path) -> dict[str, Any]:
    description = description_file(path)
    if not description.is_file():
        return {}
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        where = {"model": content["model_name_or_path"], "revision": content.get("revision")}
        return {"made": content["made"], **where}
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{description}: does not say how {path.name} was made ({error}); delete it") from error
