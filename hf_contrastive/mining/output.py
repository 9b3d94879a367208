"""The mined rows as a file to train on, and the counts of what was kept and dropped."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table
from tqdm.auto import tqdm

from hf_contrastive.files import whole_file
from hf_contrastive.mining.corpus import Corpus
from hf_contrastive.mining.filters import REASONS
from hf_contrastive.mining.search import Results


@dataclass(frozen=True)
class MiningReport:
    """What mining gave.

    Args:
        file: that was written.
        rows: rows of the data, all of which are in the file.
        full: rows with k negatives.
        short: rows with fewer, but some.
        empty: rows with none.
        negatives: in all rows.
        mean_score: of the negatives, NaN where there are none.
        dropped: candidates dropped before the k-th negative was found, by reason.
    """

    file: Path
    rows: int
    full: int
    short: int
    empty: int
    negatives: int
    mean_score: float
    dropped: dict[str, int]


def write_output(file: Path, corpus: Corpus, results: Results) -> MiningReport:
    """Write all rows in the order of the data.

    Columns `anchor, positive, negative_1, ..., negative_k` (null where a row has fewer), `scores` (cosines of the
    negatives there are), `positive_score`. Of plain sentences `positive` repeats the anchor: dropout tells them apart.
    """
    found, total, dropped = [], 0.0, np.zeros(len(REASONS), dtype=np.int64)
    with whole_file(file) as path, _writer(path, file.suffix.lower(), results.k) as write:
        for number in tqdm(range(len(results.shards)), desc="write", unit="shards"):
            parts = results.read(number)
            write(_table(corpus, results.shards.span(number), parts))
            found.append((parts["ids"] >= 0).sum(1))
            total += float(parts["scores"].sum(dtype=np.float64))
            dropped += parts["dropped"]
    counts = np.concatenate(found)
    negatives = int(counts.sum())
    return MiningReport(
        file=file,
        rows=len(counts),
        full=int((counts == results.k).sum()),
        short=int(((counts > 0) & (counts < results.k)).sum()),
        empty=int((counts == 0).sum()),
        negatives=negatives,
        mean_score=total / negatives if negatives else float("nan"),
        dropped=dict(zip(REASONS, map(int, dropped), strict=True)),
    )


def columns_of(k: int) -> str:
    """The line of a recipe that trains on the file."""
    negatives = ", ".join(f"negative_{number}" for number in range(1, k + 1))
    return f"columns: {{anchor: anchor, positive: positive, negatives: [{negatives}]}}"


def print_report(report: MiningReport, k: int) -> None:
    """What was kept and dropped, and the lines of a recipe that trains on the file."""
    table = Table("candidates", "number", title=f"{report.file}: {report.rows:,} rows")
    table.add_row("kept as negatives", f"{report.negatives:,}")
    for reason, count in report.dropped.items():
        table.add_row(f"dropped: {reason}", f"{count:,}")
    table.add_section()
    table.add_row(f"rows with {k} negatives", f"{report.full:,}")
    table.add_row("rows with fewer", f"{report.short:,}")
    table.add_row("rows with none", f"{report.empty:,}")
    console = Console()
    console.print(table)
    for line in (f"mean score of the negatives: {report.mean_score:.4f}", "", "to train on it:"):
        console.print(line, highlight=False)
    for line in (f"train_data: {report.file}", columns_of(k), "negatives: [in_batch, hard]"):
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _table(corpus: Corpus, span: range, parts: dict[str, np.ndarray]) -> pa.Table:
    ids, scores = parts["ids"], parts["scores"]
    anchors, positives = corpus.rows(span)
    columns = {"anchor": anchors, "positive": positives}
    columns |= {f"negative_{number}": corpus.texts(ids[:, number - 1]) for number in range(1, ids.shape[1] + 1)}
    there = ids >= 0
    offsets = np.concatenate([[0], there.sum(1).cumsum()]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(_rounded(scores[there])))
    table = pa.table({name: column.cast(pa.string()) for name, column in columns.items()})
    scored = {"scores": lists, "positive_score": pa.array(_rounded(parts["positive_scores"]))}
    for name, column in scored.items():
        table = table.append_column(name, column)
    return table


def _rounded(scores: np.ndarray) -> np.ndarray:
    """Six decimals: all that sums of float32 in another order agree on."""
    return scores.astype(np.float64).round(6)


@contextmanager
def _writer(path: Path, suffix: str, k: int) -> Iterator[Callable[[pa.Table], None]]:
    """A function that adds rows to a Parquet or JSON-lines file."""
    if suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            yield lambda table: file.writelines(
                json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()
            )
        return
    texts = ["anchor", "positive", *(f"negative_{number}" for number in range(1, k + 1))]
    scores = [("scores", pa.list_(pa.float64())), ("positive_score", pa.float64())]
    with pq.ParquetWriter(path, pa.schema([(name, pa.string()) for name in texts] + scores)) as parquet:
        yield parquet.write_table
