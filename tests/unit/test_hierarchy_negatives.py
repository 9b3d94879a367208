"""Negatives that are drawn for the pairs of a hierarchy that are held out."""

from collections import Counter

import numpy as np
import pytest
from hierarchies import rows

from hf_contrastive.data import NEGATIVE_KINDS
from hf_contrastive.data.hierarchy_negatives import RANDOM_ANCESTOR, RANDOM_CHILD, REVERSED, SIBLING, TrueNegatives


class Ranks:
    """In place of random numbers: every coin falls on `kind`, every draw is the `rank`-th of what it may be."""

    def __init__(self, kind: int, rank: int) -> None:
        self.kind, self.rank = kind, rank

    def integers(
        self, low: int, high: int | np.ndarray, size: int | None = None, dtype: type = np.int64
    ) -> np.ndarray:
        if size is not None:
            return np.full(size, self.kind, dtype=dtype)
        return np.minimum(self.rank, high - 1)


@pytest.mark.parametrize("kind", [RANDOM_CHILD, RANDOM_ANCESTOR])
@pytest.mark.parametrize("seed", range(3))
def test_a_corruption_is_any_concept_that_makes_no_true_pair(seed: int, kind: int) -> None:
    """In order of its rank, so that even ranks are even draws."""
    rng, size = np.random.default_rng(seed), 9
    known = np.array(sorted({(int(max(i, j)), int(min(i, j))) for i, j in rng.integers(0, size, (25, 2)) if i != j}))
    for child, ancestor in known.tolist():
        kept = (child, ancestor)[1 - kind]
        makes = {c: (c, kept) if kind == RANDOM_CHILD else (kept, c) for c in range(size) if c != kept}
        expected = [pair for pair in makes.values() if list(pair) not in known.tolist()]
        found = [
            rows(TrueNegatives(known, size).draw(np.array([[child, ancestor]]), Ranks(kind, rank))[0])[0]
            for rank in range(len(expected))
        ]
        assert found == expected


def test_draws_are_even() -> None:
    known = np.array([[1, 0], [2, 0], [3, 0], [3, 1]])
    pairs = np.repeat([[3, 1]], 6000, axis=0)
    found, kinds = TrueNegatives(known, 6).draw(pairs, np.random.default_rng(0))
    for kind, expected in (
        (RANDOM_CHILD, {(0, 1), (2, 1), (4, 1), (5, 1)}),
        (RANDOM_ANCESTOR, {(3, 2), (3, 4), (3, 5)}),
    ):
        counts = Counter(rows(found[kinds == kind]))
        assert counts.keys() == expected
        assert sum(counts.values()) == pytest.approx(3000, abs=150)
        for count in counts.values():
            assert count == pytest.approx(3000 / len(expected), rel=0.15)


def test_where_no_corruption_is_possible_there_is_none() -> None:
    """Below a root with all others under it only the ancestor can be replaced; of a chain of two, nothing."""
    root = np.array([[1, 0], [2, 0]])
    found, kinds = TrueNegatives(root, 3).draw(root, Ranks(RANDOM_CHILD, 0))
    assert rows(found[:2]) == [(1, 2), (2, 1)] and kinds[:2].tolist() == [RANDOM_ANCESTOR] * 2
    chain = np.array([[1, 0]])
    found, kinds = TrueNegatives(chain, 2).draw(chain, np.random.default_rng(0))
    assert rows(found) == [(0, 1)] and kinds.tolist() == [REVERSED]


def test_every_sibling_is_drawn_and_no_other() -> None:
    known = np.array([[1, 0], [2, 0], [3, 0], [4, 0], [4, 1], [5, 0], [5, 1], [6, 0], [6, 2]])
    pairs = np.repeat([[1, 0], [4, 1], [6, 2]], 200, axis=0)
    found, kinds = TrueNegatives(known, 8).draw(pairs, np.random.default_rng(0))
    counts = Counter(rows(found[kinds == SIBLING]))
    assert counts.keys() == {(1, 2), (1, 3), (4, 5)}  # 6 is the only child of 2
    assert counts[4, 5] == 200 and counts[1, 2] == pytest.approx(100, abs=30)


def test_kinds_have_names() -> None:
    kinds = {
        RANDOM_CHILD: "random_child",
        RANDOM_ANCESTOR: "random_ancestor",
        REVERSED: "reversed",
        SIBLING: "sibling",
    }
    assert kinds == dict(enumerate(NEGATIVE_KINDS))
