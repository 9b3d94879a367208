"""Tables of SimCSE's ablations, the paper's figures beside ours (Gao et al., 2021: STS-B dev, BERT-base)."""

from typing import NamedTuple

from table_cells import Runs, by_name, machines, markdown, mean_sd

# Rows that are the plain runs of the study of negatives.
SHARED = {
    "augmentations-none": "unsup-in_batch",
    "dropout-0.1": "unsup-in_batch",
    "poolers-unsup_avg_first_last": "unsup-in_batch",
    "poolers-sup_avg": "sup-in_batch",
}


class Row(NamedTuple):
    """What a row is called, and what the paper has for it."""

    label: str
    paper: float | None = None


# By percentage of the words.
_CROPS = {10: 77.8, 20: 71.4, 30: 63.6}
_DELETIONS = {10: 75.9, 20: 72.2, 30: 68.2}
AUGMENTATIONS = {
    "none": Row("none: dropout alone", 82.5),
    **{f"crop_{n}": Row(f"crop {n}%", paper) for n, paper in _CROPS.items()},
    **{f"word_deletion_{n}": Row(f"word deletion {n}%", paper) for n, paper in _DELETIONS.items()},
    "delete_one_word": Row("delete one word", 75.9),
    "synonym": Row("synonym", 77.4),
    "mlm_15": Row("MLM 15%", 62.2),
    "mask_15": Row("mask token 15%"),
    "next_sentence_1": Row("next sentence, Brown corpus", 67.1),
    "next_sentence_3": Row("one of the next 3, Brown corpus"),
    "none_running_text": Row("none, Brown corpus"),
    "two_encoders": Row("none, two encoders"),
}
_RATES = {"0": 71.1, "0.01": 72.6, "0.05": 81.1, "0.1": 82.5, "0.15": 81.4, "0.2": 80.5, "0.5": 71.0}
DROPOUT = {
    **{rate: Row(f"p = {rate}", paper) for rate, paper in _RATES.items()},
    "same_mask": Row("p = 0.1, the same mask twice", 43.6),
}
# By setting: unsupervised, supervised.
POOLERS = {
    "cls_mlp": ("cls + MLP", 81.7, 86.2),
    "cls_mlp_training": ("cls + MLP in training only", 82.5, 85.8),
    "cls": ("cls", 80.9, 86.2),
    "avg_first_last": ("avg_first_last", 81.2, 86.1),
    "avg": ("avg", None, None),
}


def augmentations_table(runs: Runs) -> str:
    """Augmentations as positives."""
    return _one_setting(runs, "augmentations", "positive", AUGMENTATIONS)


def dropout_table(runs: Runs) -> str:
    """Dropout rates, and one mask for both views."""
    return _one_setting(runs, "dropout", "dropout", DROPOUT)


def poolers_table(runs: Runs) -> str:
    """Poolers, unsupervised and supervised beside each other."""
    settings = ("unsup", "sup")
    header = ["pooler", *(f"{name}, {of}" for name in settings for of in ("STS-B dev", "STS-B", "paper", "seeds"))]
    rows, made = [], []
    for pooler, (label, *papers) in POOLERS.items():
        cells = [label]
        for setting, paper in zip(settings, papers, strict=True):
            found = _runs(runs, f"poolers-{setting}_{pooler}")
            cells += _cells(found, paper)
            made += found
        rows.append(cells)
    return markdown(header, rows) + _note(made)


def _one_setting(runs: Runs, table: str, title: str, names: dict[str, Row]) -> str:
    found = {name: _runs(runs, f"{table}-{name}") for name in names}
    rows = [[label, *_cells(found[name], paper)] for name, (label, paper) in names.items()]
    return markdown([title, "STS-B dev", "STS-B", "paper", "seeds"], rows) + _note(sum(found.values(), []))


def _runs(runs: Runs, name: str) -> Runs:
    return by_name(runs).get(SHARED.get(name, name), [])


def _cells(made: Runs, paper: float | None) -> list[str]:
    """Dev, test, the paper's dev and how many seeds; empty of what was not measured."""
    figures = [
        [100 * run["after"]["dev"]["dev_spearman"] for run in made],
        [100 * run["after"]["test"]["spearman"] for run in made],
    ]
    return [*(mean_sd(values, 2) if values else "" for values in figures), f"{paper or ''}", str(len(made) or "")]


def _note(made: Runs) -> str:
    """Below the table: what the figures are."""
    steps = sorted({run["steps"] for run in made})
    return (
        "\nSpearman x 100; mean ± standard deviation over seeds; empty: no figure. Paper: STS-B dev, BERT-base, "
        f"whole epochs. Ours: {' or '.join(map(str, steps))} steps. {machines(made)}.\n"
    )
