"""Transfer: how well a logistic regression on frozen embeddings classifies, with SentEval's tasks and splits.

SentEval's three protocols (Conneau & Kiela, 2018), told apart by the splits that a task has:

| splits | tasks | accuracy on | L2 strength chosen on |
|---|---|---|---|
| train | MR, CR, SUBJ, MPQA | 10 folds, averaged | a held-out tenth of each fold's training rows |
| train, test | TREC, MRPC | test | 10-fold cross validation on train |
| train, dev, test | SST2 | test | dev |

What differs from SentEval, so that seven tasks take minutes on a CPU:

- The first row's L2 strength is chosen on one held-out tenth; SentEval runs 10 inner folds inside each of the 10.
- The classifier is fitted by at most 100 iterations of L-BFGS; published numbers come from a few epochs of Adam.
- A task's embeddings are divided by one number, the root mean square of the training sentences', so that the grid of
  L2 strengths means the same whether or not an encoder normalises. The grid is SentEval's 1e-5 ... 1e-2 and 1e-1.

MRPC's features are [|u - v|, u * v].
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from hf_contrastive.errors import DataError
from hf_contrastive.evaluation.encoding import Encode, EncodedSentences
from hf_contrastive.evaluation.transfer_data import TRANSFER_TASKS, Split, load_transfer_task

TRANSFER_NOTE = (
    "SentEval's tasks and splits under a classifier of our own: of MR, CR, SUBJ and MPQA one held-out tenth chooses "
    "its L2 strength, not 10 inner folds; other L2 strengths; scaled vectors. Compare within this table, not with "
    "published ones"
)
_FOLDS = 10
_L2_STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # times ||w||^2 / 2, added to the mean loss


@dataclass(frozen=True)
class TransferScore:
    """Accuracy in [0, 1] on one task, F1 where papers give it (MRPC), and the examples of all its splits."""

    accuracy: float
    f1: float | None
    rows: int


@dataclass(frozen=True)
class TransferResult:
    """Scores by task."""

    scores: dict[str, TransferScore]

    @property
    def average(self) -> float:
        """Mean accuracy of the tasks."""
        return float(np.mean([score.accuracy for score in self.scores.values()]))


def evaluate_transfer(
    encode: Encode,
    folder: str | Path,
    tasks: Sequence[str] = TRANSFER_TASKS,
    seed: int = 1111,
    progress: bool = True,
) -> TransferResult:
    """Measure an encoder on SentEval's transfer tasks.

    Args:
        encode: N sentences to float32 [N, D] on the CPU; called with each distinct sentence of all tasks once.
        folder: SentEval's data/downstream.
        tasks: names of `TRANSFER_TASKS`.
        seed: of the folds; 1111 is SentEval's.
        progress: show bars while encoding and classifying.

    Raises:
        DataError: an unknown task, or data that cannot be used; before anything is encoded.
    """
    data = {task: load_transfer_task(folder, task) for task in tasks}
    for task, splits in data.items():
        if min(np.bincount(splits["train"].labels, minlength=2)) < _FOLDS:
            raise DataError(f"{folder}: {task} has a class of fewer than {_FOLDS} training examples; check its files")
    examples = (example for splits in data.values() for split in splits.values() for example in split.sentences)
    encoded = EncodedSentences(encode, (sentence for example in examples for sentence in example), progress)
    bar = tqdm(data.items(), desc="transfer", unit="task", disable=not progress)
    return TransferResult({task: _evaluate_task(encoded, splits, seed) for task, splits in bar})


def _evaluate_task(encoded: EncodedSentences, splits: dict[str, Split], seed: int) -> TransferScore:
    scale = _root_mean_square(encoded, splits["train"])
    features = {name: _features(encoded, split, scale) for name, split in splits.items()}
    labels = {name: split.labels for name, split in splits.items()}
    x, y = features["train"], labels["train"]
    rows = sum(len(split.labels) for split in splits.values())
    folds = list(StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(x, y))
    if "test" not in splits:
        accuracies = [_fold_accuracy(x, y, train, test, seed) for train, test in folds]
        return TransferScore(float(np.mean(accuracies)), None, rows)
    if "dev" in splits:
        l2 = _best_l2(lambda l2: _fit(x, y, l2).score(features["dev"], labels["dev"]))
    else:
        l2 = _best_l2(lambda l2: np.mean([_fit(x[fit], y[fit], l2).score(x[out], y[out]) for fit, out in folds]))
    predicted = _fit(x, y, l2).predict(features["test"])
    is_pair_task = len(splits["test"].sentences[0]) == 2
    f1 = float(f1_score(labels["test"], predicted)) if is_pair_task else None
    return TransferScore(float(np.mean(predicted == labels["test"])), f1, rows)


def _root_mean_square(encoded: EncodedSentences, split: Split) -> float:
    return float(encoded[[side for sides in split.sentences for side in sides]].square().mean().sqrt())


def _features(encoded: EncodedSentences, split: Split, scale: float) -> np.ndarray:
    """float32 [N, D], or [N, 2D] for pairs."""
    sides = [(encoded[side] / scale).numpy() for side in zip(*split.sentences, strict=True)]
    if len(sides) == 1:
        return sides[0]
    u, v = sides
    return np.hstack([np.abs(u - v), u * v])


def _fold_accuracy(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int) -> float:
    """Accuracy on the rows `test`, the L2 strength chosen on a tenth of the rows `train`."""
    fit, out = train_test_split(train, test_size=1 / _FOLDS, stratify=y[train], random_state=seed)
    l2 = _best_l2(lambda l2: _fit(x[fit], y[fit], l2).score(x[out], y[out]))
    return _fit(x[train], y[train], l2).score(x[test], y[test])


def _best_l2(accuracy: Callable[[float], float]) -> float:
    """The L2 strength whose held-out accuracy is highest; the strongest of equals."""
    return max(_L2_STRENGTHS, key=accuracy)


def _fit(x: np.ndarray, y: np.ndarray, l2: float) -> Pipeline:
    # Centring leaves the optimum where it is (the intercept is free) and saves most of the iterations: embeddings of
    # an untrained encoder share one large direction.
    model = make_pipeline(StandardScaler(with_std=False), LogisticRegression(C=1 / (l2 * len(x))))
    with warnings.catch_warnings():
        # Under the weakest L2 strengths it may stop at the 100th iteration: early stopping, as in SentEval.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)
