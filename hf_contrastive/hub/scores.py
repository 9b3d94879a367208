"""What `results.json` measured, as rows of a table and as the Hub's metadata, for one run or several seeds of it."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry

from hf_contrastive.hub.recipe_text import portable

_STS = {
    "STS12": "mteb/sts12-sts",
    "STS13": "mteb/sts13-sts",
    "STS14": "mteb/sts14-sts",
    "STS15": "mteb/sts15-sts",
    "STS16": "mteb/sts16-sts",
    "STSBenchmark": "mteb/stsbenchmark-sts",
    "SICKRelatedness": "mteb/sickr-sts",
}


@dataclass(frozen=True)
class Score:
    """One figure on one dataset.

    Attributes:
        task: the Hub's name of the kind of task.
        dataset: its Hub name where it has one, else a short name.
        name: what people call the dataset.
        split: `dev` or `test`.
        metric: the Hub's name of the metric.
        label: what people call the metric.
        value: in [-1, 1] or [0, 1], except a mean rank.
        before: the same before training, where that was measured.
        comparable: whether it was measured on the published test set.
    """

    task: str
    dataset: str
    name: str
    split: str
    metric: str
    label: str
    value: float
    before: float | None = None
    comparable: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other scores of a run."""
        return self.name, self.split, self.metric


@dataclass(frozen=True)
class Row:
    """A score of several seeds: the runs' values, that of the published run first."""

    score: Score
    values: tuple[float, ...]

    def cell(self) -> str:
        """Mean and, of several runs, sample standard deviation; times 100, but for ranks."""
        factor, digits = (1, 1) if self.score.metric == "mean_rank" else (100, 2)
        mean = f"{factor * statistics.mean(self.values):.{digits}f}"
        return f"{mean} ± {factor * statistics.stdev(self.values):.{digits}f}" if len(self.values) > 1 else mean

    def before(self) -> str:
        """The same before training, or a dash."""
        return "-" if self.score.before is None else f"{100 * self.score.before:.2f}"


def scores(results: dict[str, Any]) -> list[Score]:
    """Everything measured of a finished run."""
    recipe = results["recipe"]
    of_task = {"sentences": _sentences, "words": _words, "graph": _graph, "hypernymy": _hypernymy}
    return list(of_task[recipe.get("task", "sentences")](results, recipe))


def rows(runs: Sequence[dict[str, Any]]) -> list[Row]:
    """The scores of the first run, each with its values in all runs that have it."""
    found = [{score.key: score for score in scores(run)} for run in runs]
    return [Row(score, tuple(other[key].value for other in found if key in other)) for key, score in found[0].items()]


def eval_results(measured: Sequence[Score]) -> list[EvalResult]:
    """For the `model-index` of a card's front matter."""
    return [
        EvalResult(
            task_type=score.task,
            dataset_type=score.dataset,
            dataset_name=score.name,
            dataset_split=score.split,
            metric_type=score.metric,
            metric_name=score.label,
            metric_value=round(score.value, 4),
        )
        for score in measured
    ]


def eval_entries(measured: Sequence[Score]) -> list[EvalResultEntry]:
    """For `.eval_results/`: only what was measured on the published test set of a dataset of the Hub."""
    return [
        EvalResultEntry(dataset_id=score.dataset, task_id="default", value=round(score.value, 4), notes=score.label)
        for score in measured
        if score.comparable and score.split == "test" and "/" in score.dataset
    ]


def _sentences(results: dict[str, Any], recipe: dict[str, str]) -> Iterator[Score]:
    before, after = results.get("before") or {}, results["after"]
    for split, key, given in (("dev", "dev_spearman", "dev_data"), ("test", "spearman", "test_data")):
        if split in after:
            name = portable(recipe[given]).rpartition("/")[2] if given in recipe else "STS-B"
            dataset = name if given in recipe else _STS["STSBenchmark"]
            old = before.get(split, {}).get(key)
            yield Score(
                "sentence-similarity", dataset, name, split, "spearmanr", "Spearman, cosine", after[split][key], old
            )
    for group, task, metric, label in (
        ("sts", "sentence-similarity", "spearman", "Spearman, cosine"),
        ("transfer", "text-classification", "accuracy", "accuracy, logistic regression, not SentEval's protocol"),
        ("retrieval", "information-retrieval", "ndcg_at_10", "nDCG@10"),
    ):
        part = after.get(group) or {"scores": {}}
        old_part = (before.get(group) or {"scores": {}})["scores"]
        for name, score in part["scores"].items():
            dataset = _STS[name] if group == "sts" else name if group == "retrieval" else f"senteval-{name.lower()}"
            # The Hub's SICK-R holds the training pairs too: a figure on its test set is none of that dataset.
            comparable = score.get("comparable", False) and name != "SICKRelatedness"
            kind = "spearmanr" if metric == "spearman" else metric
            old = old_part.get(name, {}).get(metric)
            yield Score(task, dataset, name, "test", kind, label, score[metric], old, comparable)
        if len(part["scores"]) > 1:
            kind = "spearmanr" if metric == "spearman" else metric
            old = (before.get(group) or {}).get("average")
            yield Score(task, f"{group}-average", f"{group} average", "test", kind, label, part["average"], old, False)


def _words(results: dict[str, Any], recipe: dict[str, str]) -> Iterator[Score]:
    after = results["after"]
    for name, score in after.get("similarity", {"scores": {}})["scores"].items():
        if score["spearman"] is not None:
            label = f"Spearman, {score['known']:,} of {score['pairs']:,} pairs known"
            yield Score("word-similarity", name.lower(), name, "test", "spearmanr", label, score["spearman"])
    for name, part in after.get("analogies", {}).items():
        if part["accuracy"] is not None:
            yield Score(
                "analogies", "google-analogies", f"analogies, {name}", "test", "accuracy", "accuracy", part["accuracy"]
            )


def _graph(results: dict[str, Any], recipe: dict[str, str]) -> Iterator[Score]:
    name = portable(recipe["train_data"]).rstrip("/").rpartition("/")[2]
    labels = {"mrr": "MRR", "hits_at_1": "Hits@1", "hits_at_3": "Hits@3", "hits_at_10": "Hits@10", "mr": "mean rank"}
    for key, label in labels.items():
        metric = "mean_rank" if key == "mr" else key
        value = results["after"]["both"][key]
        yield Score("link-prediction", name.lower(), name, "test", metric, f"filtered {label}", value)


def _hypernymy(results: dict[str, Any], recipe: dict[str, str]) -> Iterator[Score]:
    after = results["after"]
    name = portable(recipe["train_data"]).rstrip("/").rpartition("/")[2]
    shown = f"{name}, {after['protocol']}"
    yield Score("hypernymy", name.lower(), shown, "test", "accuracy", "accuracy", after["accuracy"])
    yield Score("hypernymy", name.lower(), shown, "test", "roc_auc", "area under the ROC curve", after["auc"])
