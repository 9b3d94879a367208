"""The quick start's texts: how articles are split into sentences, and its own pairs."""

import csv
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import spearmanr

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
sys.path.insert(0, str(QUICKSTART))

import pairs  # noqa: E402
import sentences  # noqa: E402


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Cats sleep a lot. Dogs bark! Why? Nobody knows.",
            ["Cats sleep a lot.", "Dogs bark!", "Why?", "Nobody knows."],
        ),
        ("Dr. J. R. Smith met Mrs. Jones.", ["Dr. J. R. Smith met Mrs. Jones."]),
        ("The U.S. Senate voted. It was close.", ["The U.S. Senate voted.", "It was close."]),
        ("It was built c. 1200 by St. Olaf.", ["It was built c. 1200 by St. Olaf."]),
        ("It is in Washington, D.C. It is large.", ["It is in Washington, D.C.", "It is large."]),
        ("He ate bread, cheese, etc. Éclairs followed.", ["He ate bread, cheese, etc. Éclairs followed."]),
        ("Pi is 3.14 or so. 22 over 7 is close.", ["Pi is 3.14 or so.", "22 over 7 is close."]),
        ('She said "Stop." Then she left.', ['She said "Stop."', "Then she left."]),
        ("He came (late). Éva left.", ["He came (late).", "Éva left."]),
        ("The firm acme.com grew. e.g. is lower case.", ["The firm acme.com grew. e.g. is lower case."]),
        ("A heading\nA paragraph\xa0here.", ["A heading", "A paragraph here."]),
        ("", []),
    ],
)
def test_split_sentences(text: str, expected: list[str]) -> None:
    assert sentences.split_sentences(text) == expected


def test_clean_keeps_whole_sentences_once_and_counts_the_rest() -> None:
    good = ["Bees make honey.", '"Bees make honey."', "Élan is a word.", " ".join(["Word"] * 59) + " end."]
    flawed = {
        "too short": ["Bees buzz.", "Indeed."],
        "too long": [" ".join(["Word"] * 60) + " end."],
        "with lost markup": ["The sum  is finite.", "A set ( , ) is open.", "The area is , in metres."],
        "cut short": ["The sections are the following:", "and so it ended there."],
        "repeated": ["Bees make honey."],
    }
    kept, dropped = sentences.clean([*good, *(sentence for group in flawed.values() for sentence in group)])
    assert kept == good
    assert dropped == Counter({reason: len(group) for reason, group in flawed.items()})


# --- pairs.tsv


def test_own_pairs_are_sound() -> None:
    with (QUICKSTART / "pairs.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows.pop(0) == ["split", "score", "sentence1", "sentence2"]
    assert Counter(len(row) for row in rows) == {4: 300}
    assert Counter(row[0] for row in rows) == {"dev": 100, "test": 200}
    scores = [float(row[1]) for row in rows]
    assert all(0 <= score <= 5 and round(score * 5, 6).is_integer() for score in scores)
    for split, least in (("dev", 16), ("test", 33)):
        levels = Counter(round(score) for score, row in zip(scores, rows, strict=True) if row[0] == split)
        assert set(levels) == set(range(6)) and min(levels.values()) >= least
    assert len({frozenset(sentence.lower() for sentence in row[2:]) for row in rows}) == 300
    assert all(sentence == sentence.strip() and sentence[-1] in ".?!" for row in rows for sentence in row[2:])


def test_own_pairs_are_not_explained_by_word_overlap() -> None:
    rows = pairs.read_own_pairs()

    def jaccard(row: dict[str, str]) -> float:
        left, right = (set(re.findall(r"\w+", row[key].lower())) for key in ("sentence1", "sentence2"))
        return len(left & right) / len(left | right)

    correlation = spearmanr([jaccard(row) for row in rows], [float(row["score"]) for row in rows]).statistic
    assert 0.1 < correlation < 0.8
