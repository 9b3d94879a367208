"""Results as the papers print them, and as a JSON file that says what they were measured on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hf_contrastive.evaluation.environment import environment
from hf_contrastive.evaluation.mteb_tasks import MTEBResult
from hf_contrastive.evaluation.retrieval import RECALL_AT, RetrievalResult
from hf_contrastive.evaluation.sts import STS_SHORT_NAMES, STSResult
from hf_contrastive.evaluation.transfer import TRANSFER_NOTE, TransferResult
from hf_contrastive.evaluation.transfer_data import TRANSFER_SHORT_NAMES


@dataclass(frozen=True)
class EvaluationResults:
    """What was measured of one encoder.

    Args:
        name: of the encoder, or of the moment ("before training").
        sts: correlations in [-1, 1].
        transfer: accuracies in [0, 1].
        retrieval: nDCG, MRR and recall in [0, 1].
        mteb: what mteb measured.
        seconds: what the evaluation took.
    """

    name: str
    sts: STSResult | None = None
    transfer: TransferResult | None = None
    retrieval: RetrievalResult | None = None
    mteb: MTEBResult | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; numbers as measured, not multiplied by 100."""
        out = asdict(self)
        for key, part in (("sts", self.sts), ("transfer", self.transfer), ("retrieval", self.retrieval)):
            if part is not None:
                out[key]["average"] = part.average
        if self.sts is not None:
            out["sts"]["not_comparable"] = self.sts.not_comparable
        return out


def save_json(path: str | Path, *results: EvaluationResults) -> None:
    """Write `{"environment": {...}, "results": [...]}`; folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"environment": environment(), "results": [result.to_dict() for result in results]}
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def print_table(*results: EvaluationResults, console: Console | None = None) -> None:
    """Print one table a kind of task: a row a result, columns in the papers' order, times 100, two decimals."""
    console = console or Console()
    sts = [(result.name, result.sts) for result in results if result.sts is not None]
    transfer = [(result.name, result.transfer) for result in results if result.transfer is not None]
    if sts:
        marked = {task for _, result in sts for task in result.not_comparable}
        rows = [(name, {task: score.spearman for task, score in r.scores.items()}, r.average) for name, r in sts]
        title = "STS, Spearman x 100, all subsets of a year concatenated"
        console.print(_table(title, STS_SHORT_NAMES, rows, marked))
        if marked:
            console.print("* not the published test set: not comparable with published numbers, nor is the average")
    if transfer:
        rows = [(name, {task: score.accuracy for task, score in r.scores.items()}, r.average) for name, r in transfer]
        console.print(_table("Transfer, accuracy x 100", TRANSFER_SHORT_NAMES, rows, set()))
        console.print(TRANSFER_NOTE, highlight=False)
    found = [(result.name, result.retrieval) for result in results if result.retrieval is not None]
    if found:
        console.print(_retrieval_table(found))
    by_mteb = [(result.name, result.mteb) for result in results if result.mteb is not None]
    if by_mteb:
        console.print(_mteb_table(by_mteb))


def _mteb_table(found: Sequence[tuple[str, MTEBResult]]) -> Table:
    versions = ", ".join(dict.fromkeys(result.version for _, result in found))
    table = Table("", "", "", "main score", title=f"MTEB, x 100, measured by mteb {versions}")
    table.add_column("", justify="right", no_wrap=True)
    for name, result in found:
        for task, score in result.scores.items():
            value = "-" if score.main_score is None else f"{100 * score.main_score:.2f}"
            table.add_row(name, task, score.kind, score.metric, value)
    return table


def _retrieval_table(found: Sequence[tuple[str, RetrievalResult]]) -> Table:
    metrics = ["nDCG@10", "MRR@10", *(f"recall@{k}" for k in RECALL_AT)]
    searches = ", ".join(dict.fromkeys(result.index for _, result in found))
    table = Table("", "", title=f"Retrieval, x 100, search: {searches}")
    for column in (*metrics, "queries", "documents"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, result in found:
        for collection, score in result.scores.items():
            values = [score.ndcg_at_10, score.mrr_at_10, *(score.recall[str(k)] for k in RECALL_AT)]
            sizes = (f"{score.queries:,}", f"{score.documents:,}")
            table.add_row(name, collection, *(f"{100 * value:.2f}" for value in values), *sizes)
        if len(result.scores) > 1:
            table.add_row(name, "Avg.", f"{100 * result.average:.2f}")
    return table


def _table(
    title: str, short_names: dict[str, str], rows: Sequence[tuple[str, dict[str, float], float]], marked: set[str]
) -> Table:
    columns = [task for task in short_names if any(task in scores for _, scores, _ in rows)]
    table = Table(title=title)
    table.add_column("")
    for task in columns:
        table.add_column(short_names[task] + ("*" if task in marked else ""), justify="right", no_wrap=True)
    table.add_column("Avg." + ("*" if marked else ""), justify="right", no_wrap=True)
    for name, scores, average in rows:
        cells = [f"{100 * scores[task]:.2f}" if task in scores else "-" for task in columns]
        table.add_row(name, *cells, f"{100 * average:.2f}")
    return table
