"""`hf-contrastive encode`: load, encode in shards, join; each step is taken up where a killed run left it."""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from datasets import Dataset
from tqdm.auto import tqdm
from xxhash import xxh3_64

from hf_contrastive.data import load_passages
from hf_contrastive.errors import RecipeError
from hf_contrastive.files import whole_file, write_json
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.retrieval.fingerprint import model_fingerprint
from hf_contrastive.retrieval.settings import EncodeSettings, default_batch_tokens
from hf_contrastive.retrieval.vectors import Vectors, encode_missing, load_encoder, processes
from hf_contrastive.retrieval.work import check_settings, check_writable, refuse_differences

logger = logging.getLogger(__name__)

SETTINGS = "encode.json"


def encode(settings: EncodeSettings) -> Path:
    """Encode texts and write their vectors; under `accelerate launch` all processes share the work.

    The file has a row for every row of the data, in its order. Parquet: `id` (text) or `row` (from 0), `text` where it
    was asked for, `vector` (fixed-size list). npy: [N, D]. Beside it `FILE.json` says how the vectors were made.

    Returns:
        the file.

    Raises:
        ContrastiveError: data, model, output or work folder that cannot be used; before anything is encoded.
    """
    file, work, start = settings.file, settings.work, time.perf_counter()
    if file.exists() and not (work.is_dir() or description_file(file).is_file()):
        raise RecipeError(f"output: {file} exists and was not begun here; choose another --output or delete it")
    check_writable(file)
    ranks = processes(settings.device)
    encoder = load_encoder(
        settings.model, settings.pooler, settings.max_length, settings.revision, settings.device, ranks
    )
    with ranks.main_process_first():
        data = load_passages(
            settings.data,
            settings.columns,
            settings.id_column,
            data_name=settings.data_name,
            split=settings.split,
            max_rows=settings.max_rows,
        )
    made = _how_it_is_made(settings, encoder, data)
    if file.exists() and _is_finished(file, made):
        logger.info("%s is complete already", file)
    else:
        check_settings(work / SETTINGS, made, f"choose another --output, or delete {work} to start afresh")
        ranks.wait_for_everyone()
        if ranks.is_main_process:
            write_json(work / SETTINGS, made)
        vectors = Vectors(work / "vectors", len(data), encoder.width, settings.shard_size, settings.dtype)
        encode_missing(
            vectors,
            lambda span: data[span.start : span.stop]["text"],
            partial(
                encoder.encode,
                batch_tokens=settings.batch_tokens or default_batch_tokens(encoder.device),
                bf16=settings.bf16,
                normalize=made["normalize"],
            ),
            encoder,
            ranks,
            "rows",
        )
        if ranks.is_main_process:
            _join(file, data, vectors, settings.keeps_text)
            where = {"model_name_or_path": settings.model, "revision": settings.revision}
            write_json(description_file(file), {**where, "rows": len(data), "width": encoder.width, "made": made})
            seconds = time.perf_counter() - start
            logger.info("%s: %s vectors of %d numbers, %.1f s", file, f"{len(data):,}", encoder.width, seconds)
    if ranks.is_main_process and work.is_dir():
        shutil.rmtree(work)
    ranks.wait_for_everyone()
    return file


def description_file(file: Path) -> Path:
    """JSON beside a file of vectors that says how they were made."""
    return file.with_name(file.name + ".json")


def _how_it_is_made(settings: EncodeSettings, encoder: SentenceEncoder, data: Dataset) -> dict[str, Any]:
    """What decides the bytes of the file."""
    return {
        "data": _fingerprint(data),
        "model": model_fingerprint(encoder),
        "pooler": encoder.eval_pooler,
        "max_length": encoder.max_length,
        "normalize": encoder.normalize if settings.normalize is None else settings.normalize,
        "bf16": settings.bf16,
        "dtype": settings.dtype,
        "text": settings.keeps_text,
        "batch_tokens": settings.batch_tokens or default_batch_tokens(encoder.device),
        "shard_size": settings.shard_size,
    }


def _fingerprint(data: Dataset) -> str:
    digest = xxh3_64(json.dumps(data.column_names).encode())
    for batch in data.with_format("arrow").iter(batch_size=10_000):
        for column in batch.columns:
            for cell in column.to_pylist():
                digest.update(cell.encode() + b"\0")
    return f"{len(data):,} rows {digest.hexdigest()}"


def _is_finished(file: Path, made: dict[str, Any]) -> bool:
    """Whether the file was described, which is the last thing done; `RecipeError` where it was made otherwise."""
    description = description_file(file)
    if not description.is_file():
        return False
    try:
        old = json.loads(description.read_text(encoding="utf-8"))["made"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{description}: does not say how {file.name} was made; delete both") from error
    refuse_differences(file, old, made, f"choose another --output, or delete {file} and {description.name}")
    return True


def _join(file: Path, data: Dataset, vectors: Vectors, keeps_text: bool) -> None:
    """All shards as one file, a shard in memory at a time."""
    with whole_file(file) as path, _writer(path, file.suffix.lower(), data, vectors, keeps_text) as write:
        for number in tqdm(range(len(vectors.shards)), desc="write", unit="shards"):
            write(number)


@contextmanager
def _writer(
    path: Path, suffix: str, data: Dataset, vectors: Vectors, keeps_text: bool
) -> Iterator[Callable[[int], None]]:
    """A function that adds a shard, by its number, to a Parquet or npy file."""
    if suffix == ".npy":
        out = np.lib.format.open_memmap(path, "w+", vectors.dtype, (vectors.shards.count, vectors.width))

        def fill(number: int) -> None:
            span = vectors.shards.span(number)
            out[span.start : span.stop] = vectors.read(number)

        yield fill
        out.flush()
        return
    number_type = pa.from_numpy_dtype(vectors.dtype)
    has_ids = "id" in data.column_names
    fields = [pa.field("id", pa.string()) if has_ids else pa.field("row", pa.int64())]
    fields += [pa.field("text", pa.string())] if keeps_text else []
    schema = pa.schema([*fields, pa.field("vector", pa.list_(number_type, vectors.width))])
    with pq.ParquetWriter(path, schema) as parquet:

        def add(number: int) -> None:
            span = vectors.shards.span(number)
            cells = data[span.start : span.stop]
            columns = {"row": list(span), **cells, "vector": None}
            flat = pa.array(np.ascontiguousarray(vectors.read(number)).reshape(-1), number_type)
            columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.width)
            parquet.write_table(pa.table([columns[name] for name in schema.names], schema=schema))

        yield add
