"""SentEval's transfer tasks under the protocol of `evaluate --task transfer`, written a second time.

It shares no code with `hf_contrastive`: it reads the files itself, and has a loop for the folds and one for the L2
strengths. scikit-learn draws the same folds from the same seed and fits the same classifier: figures have to be equal.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from torch import Tensor

STRENGTHS = (0.1, 0.01, 0.001, 0.0001, 0.00001)
OF_CLASSES = {  # a file of class 0, a file of class 1
    "MR": ("MR/rt-polarity.neg", "MR/rt-polarity.pos"),
    "CR": ("CR/custrev.neg", "CR/custrev.pos"),
    "SUBJ": ("SUBJ/subj.subjective", "SUBJ/subj.objective"),
    "MPQA": ("MPQA/mpqa.neg", "MPQA/mpqa.pos"),
}
OF_SPLITS = {
    "SST2": {split: f"SST/binary/sentiment-{split}" for split in ("train", "dev", "test")},
    "TREC": {"train": "TREC/train_5500.label", "test": "TREC/TREC_10.label"},
    "MRPC": {split: f"MRPC/msr_paraphrase_{split}.txt" for split in ("train", "test")},
}
Examples = list[tuple[int, list[str]]]  # a label, and one sentence or two
Matrix = np.ndarray


def transfer_reference(
    encode: Callable[[list[str]], Tensor], folder: Path, task: str, seed: int = 1111
) -> tuple[dict[str, float], float]:
    """Accuracy in [0, 1], of pairs F1 too; and how much of the accuracy one example is that is classified."""
    examples = read(folder, task)
    vectors = {
        split: [encode([sides[n] for _, sides in rows]).numpy() for n in range(len(rows[0][1]))]
        for split, rows in examples.items()
    }
    scale = np.float32(np.sqrt(np.mean(np.square(vectors["train"], dtype=np.float64))))
    x, y = {}, {}
    for split, rows in examples.items():
        u, v = vectors[split][0] / scale, vectors[split][-1] / scale
        x[split] = u if len(vectors[split]) == 1 else np.concatenate([abs(u - v), u * v], axis=1)
        y[split] = np.array([label for label, _ in rows])
    train, labels = x["train"], y["train"]
    folds = list(StratifiedKFold(10, shuffle=True, random_state=seed).split(train, labels))
    if "test" not in x:
        accuracies = []
        for rest, out in folds:
            fit, held = train_test_split(rest, test_size=0.1, stratify=labels[rest], random_state=seed)
            right = [np.mean(predict(train, labels, fit, train[held], l2) == labels[held]) for l2 in STRENGTHS]
            chosen = STRENGTHS[int(np.argmax(right))]
            accuracies.append(np.mean(predict(train, labels, rest, train[out], chosen) == labels[out]))
        return {"accuracy": float(np.mean(accuracies))}, 1 / (10 * min(len(out) for _, out in folds))
    every = np.arange(len(train))
    right = []
    for l2 in STRENGTHS:
        if "dev" in x:
            right.append(np.mean(predict(train, labels, every, x["dev"], l2) == y["dev"]))
        else:
            parts = [np.mean(predict(train, labels, fit, train[out], l2) == labels[out]) for fit, out in folds]
            right.append(np.mean(parts))
    predicted = predict(train, labels, every, x["test"], STRENGTHS[int(np.argmax(right))])
    figures = {"accuracy": float(np.mean(predicted == y["test"]))}
    if task == "MRPC":
        figures["f1"] = float(f1_score(y["test"], predicted))
    return figures, 1 / len(predicted)


def predict(x: Matrix, y: Matrix, rows: Matrix, others: Matrix, l2: float) -> Matrix:
    """Labels of `others`, by a logistic regression fitted to `rows` of x and y."""
    mean = x[rows].mean(axis=0, dtype=np.float64)
    classifier = LogisticRegression(C=1 / (l2 * len(rows)), solver="lbfgs", max_iter=100)
    classifier.fit((x[rows] - mean).astype(np.float32), y[rows])
    return classifier.predict((others - mean).astype(np.float32))


def read(folder: Path, task: str) -> dict[str, Examples]:
    """The examples of each split."""
    if task in OF_CLASSES:
        files = [lines(folder / name, "latin-1") for name in OF_CLASSES[task]]
        return {"train": [(label, [tidy(line)]) for label, file in enumerate(files) for line in file]}
    splits: dict[str, Examples] = {}
    for split, name in OF_SPLITS[task].items():
        if task == "SST2":
            rows = [line.rsplit("\t", 1) for line in lines(folder / name, "utf-8")]
            splits[split] = [(int(label), [tidy(sentence)]) for sentence, label in rows]
        elif task == "TREC":
            rows = [line.split(" ", 1) for line in lines(folder / name, "latin-1")]
            classes = sorted({label.split(":")[0] for label, _ in rows})
            splits[split] = [(classes.index(label.split(":")[0]), [tidy(sentence)]) for label, sentence in rows]
        else:
            rows = [line.split("\t") for line in lines(folder / name, "utf-8-sig")[1:]]
            splits[split] = [(int(row[0]), [tidy(row[3]), tidy(row[4])]) for row in rows]
    return splits


def lines(path: Path, encoding: str) -> list[str]:
    """The lines of a file without their ends; only a line feed ends one."""
    with open(path, encoding=encoding, newline="\n") as file:
        return [line.rstrip("\r\n") for line in file]


def tidy(sentence: str) -> str:
    """Single spaces between the tokens."""
    return " ".join(sentence.split())
