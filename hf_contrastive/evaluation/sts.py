"""Semantic textual similarity: Spearman between cosine similarity and human scores, on the seven standard tasks.

Papers mix three ways to make one number of a year's subsets (Gao et al., 2021, appendix B): `all` concatenates the
subsets and ranks once, `mean` averages the subsets' correlations, `wmean` weighs them by their rows. The headline here
is `all`, as in SimCSE's tables. Correlations are in [-1, 1]; tables multiply by 100.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from hf_contrastive.errors import DataError
from hf_contrastive.evaluation.encoding import Encode, EncodedSentences
from hf_contrastive.evaluation.geometry import alignment, cosine, spearman, uniformity
from hf_contrastive.evaluation.pairs import ScoredPairs, load_sts_pairs
from hf_contrastive.evaluation.sources import HubSplit

logger = logging.getLogger(__name__)


class _Task(NamedTuple):
    short_name: str  # of the published tables
    file: str
    hub_name: str
    rows: int  # of the published test set
    has_subsets: bool  # papers average over them


_TASKS = {
    "STS12": _Task("STS12", "STS12.tsv", "mteb/sts12-sts", 3108, True),
    "STS13": _Task("STS13", "STS13.tsv", "mteb/sts13-sts", 1500, True),
    "STS14": _Task("STS14", "STS14.tsv", "mteb/sts14-sts", 3750, True),
    "STS15": _Task("STS15", "STS15.tsv", "mteb/sts15-sts", 3000, True),
    "STS16": _Task("STS16", "STS16.tsv", "mteb/sts16-sts", 1186, True),
    "STSBenchmark": _Task("STS-B", "STSB-test.tsv", "mteb/stsbenchmark-sts", 1379, False),
    # 9927 rows on the Hub: training, trial and test rows together.
    "SICKRelatedness": _Task("SICK-R", "SICKR-test.tsv", "mteb/sickr-sts", 4927, False),
}
STS_TASKS = tuple(_TASKS)
STS_FILES = {name: task.file for name, task in _TASKS.items()}
STS_SHORT_NAMES = {name: task.short_name for name, task in _TASKS.items()}


@dataclass(frozen=True)
class STSScore:
    """Spearman on one task.

    Args:
        spearman: all subsets concatenated (`all`), the headline.
        mean: mean over subsets; `None` where the task has none or the source does not tell them.
        wmean: mean over subsets weighted by their rows; `None` likewise.
        subsets: correlation of each subset.
        rows: pairs scored.
        comparable: whether `rows` is that of the published test set.
    """

    spearman: float
    mean: float | None
    wmean: float | None
    subsets: dict[str, float]
    rows: int
    comparable: bool


@dataclass(frozen=True)
class STSResult:
    """Scores by task, and where the data was read from."""

    scores: dict[str, STSScore]
    source: str

    @property
    def average(self) -> float:
        """Mean of the tasks' headline correlations."""
        return float(np.mean([score.spearman for score in self.scores.values()]))

    @property
    def not_comparable(self) -> list[str]:
        """Tasks whose number of rows is not the published one, so that neither is their score."""
        return [name for name, score in self.scores.items() if not score.comparable]


def evaluate_sts(
    encode: Encode, source: str | Path | None, tasks: Sequence[str] = STS_TASKS, progress: bool = True
) -> STSResult:
    """Measure an encoder on STS test sets.

    Args:
        encode: N sentences to float32 [N, D] on the CPU; called with each distinct sentence of all tasks once.
        source: folder with STS12.tsv ... SICKR-test.tsv; `None`: the Hub.
        tasks: names of `STS_TASKS`.
        progress: show a bar while encoding.

    Raises:
        DataError: an unknown task, or data that cannot be used; before anything is encoded.
    """
    pairs = {name: load_sts_pairs(_task_source(name, source)) for name in tasks}
    for name in tasks:
        if len(pairs[name]) != _TASKS[name].rows:
            logger.warning(
                "%s: %d rows where the published test set has %d; the score is not comparable with published ones",
                *(name, len(pairs[name]), _TASKS[name].rows),
            )
    sentences = (sentence for task in pairs.values() for sentence in task.sentence1 + task.sentence2)
    encoded = EncodedSentences(encode, sentences, progress)
    scores = {name: _score(pairs[name], _similarities(encoded, pairs[name]), _TASKS[name]) for name in tasks}
    return STSResult(scores, source="Hub" if source is None else str(source))


def evaluate_pairs(encode: Encode, pairs: ScoredPairs) -> dict[str, float]:
    """Spearman, alignment and uniformity on one set of pairs: what is watched while training.

    Positives are the pairs that score above 4/5 of the highest score, which on the 0-5 scale is above 4 (Gao et al.,
    2021, section 4.2); `alignment` is left out where there are fewer than two. Uniformity is over the distinct
    sentences.
    """
    encoded = EncodedSentences(encode, pairs.sentence1 + pairs.sentence2)
    metrics = {"spearman": spearman(_similarities(encoded, pairs), pairs.scores)}
    positive = np.flatnonzero(pairs.scores > 0.8 * pairs.scores.max())
    if len(positive) >= 2:
        left, right = ([side[row] for row in positive] for side in (pairs.sentence1, pairs.sentence2))
        metrics["alignment"] = alignment(encoded[left], encoded[right])
    return metrics | {"uniformity": uniformity(encoded.vectors)}


def _task_source(name: str, source: str | Path | None) -> Path | HubSplit:
    if name not in _TASKS:
        raise DataError(f"tasks: unknown STS task {name!r}; choose from {', '.join(STS_TASKS)}")
    task = _TASKS[name]
    return HubSplit(task.hub_name, "test") if source is None else Path(source) / task.file


def _similarities(encoded: EncodedSentences, pairs: ScoredPairs) -> Tensor:
    return cosine(encoded[pairs.sentence1], encoded[pairs.sentence2])


def _score(pairs: ScoredPairs, similarities: Tensor, task: _Task) -> STSScore:
    names = np.array(pairs.subsets)
    rows = {name: np.flatnonzero(names == name) for name in dict.fromkeys(pairs.subsets) if name and task.has_subsets}
    subsets = {name: spearman(similarities[chosen], pairs.scores[chosen]) for name, chosen in rows.items()}
    values, weights = list(subsets.values()), [len(chosen) for chosen in rows.values()]
    return STSScore(
        spearman=spearman(similarities, pairs.scores),
        mean=float(np.mean(values)) if values else None,
        wmean=float(np.average(values, weights=weights)) if values else None,
        subsets=subsets,
        rows=len(pairs),
        comparable=len(pairs) == task.rows,
    )
