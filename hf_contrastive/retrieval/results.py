"""Results of many queries as a file: TSV, JSON lines or Parquet, a row a result."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from tqdm.auto import tqdm

from hf_contrastive.files import whole_file
from hf_contrastive.retrieval.search import Searcher
from hf_contrastive.retrieval.stored import TextVectors

logger = logging.getLogger(__name__)

_BLOCK = 1024  # queries searched at a time


def write_results(searcher: Searcher, queries: TextVectors, file: Path) -> None:
    """Search for every query and write the nearest texts, query by query, nearest first.

    Columns: `query` (id, else row from 0), `query_text` (where it was kept), `rank` (from 1), `id` (else row from 0),
    `score` (cosine), `text` (where it was kept). In TSV, tabs and line ends of a text become spaces.
    """
    short = 0
    columns = _columns(searcher.corpus, queries)
    with (
        whole_file(file) as path,
        _writer(path, file.suffix.lower(), columns) as write,
        tqdm(total=queries.count, unit="queries", desc="search") as bar,
    ):
        for start in range(0, queries.count, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, queries.count))
            records: list[dict[str, Any]] = []
            for row, found in zip(rows.tolist(), searcher.nearest(queries.look_up(rows)), strict=True):
                short += len(found) < min(searcher.settings.k, searcher.corpus.count)
                records += _records(searcher.corpus, queries, row, found)
            write(records)
            bar.update(len(rows))
    if short:
        breadth = "--index hnsw --ef-search" if searcher.index.graph else "--index ivf --nprobe"
        logger.warning("%s queries have fewer than %d results; raise %s", f"{short:,}", searcher.settings.k, breadth)
    logger.info("%s: results of %s queries", file, f"{queries.count:,}")


def _columns(corpus: TextVectors, queries: TextVectors) -> dict[str, pa.DataType]:
    return {
        "query": pa.int64() if queries.ids is None else pa.string(),
        **({} if queries.texts is None else {"query_text": pa.string()}),
        "rank": pa.int64(),
        "id": pa.int64() if corpus.ids is None else pa.string(),
        "score": pa.float64(),
        **({} if corpus.texts is None else {"text": pa.string()}),
    }


def _records(
    corpus: TextVectors, queries: TextVectors, query: int, found: list[tuple[int, float]]
) -> Iterator[dict[str, Any]]:
    for rank, (row, score) in enumerate(found, start=1):
        yield {
            "query": queries.id_of(query),
            **({} if queries.texts is None else {"query_text": queries.texts[query]}),
            "rank": rank,
            "id": corpus.id_of(row),
            "score": score,
            **({} if corpus.texts is None else {"text": corpus.texts[row]}),
        }


@contextmanager
def _writer(
    path: Path, suffix: str, columns: dict[str, pa.DataType]
) -> Iterator[Callable[[list[dict[str, Any]]], object]]:
    """A function that adds records to the file."""
    if suffix == ".parquet":
        schema = pa.schema(columns)
        with pq.ParquetWriter(path, schema) as parquet:
            yield lambda records: parquet.write_table(pa.Table.from_pylist(records, schema=schema))
        return
    with path.open("w", encoding="utf-8") as file:
        if suffix == ".tsv":
            file.write("\t".join(columns) + "\n")
            yield lambda records: file.writelines(_tsv_line(record) for record in records)
        else:
            yield lambda records: file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _tsv_line(record: dict[str, Any]) -> str:
    return "\t".join(" ".join(cell.split()) if isinstance(cell, str) else str(cell) for cell in record.values()) + "\n"
