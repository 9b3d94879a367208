"""Pairs known to be positive: the lookup against a Python set, and the files they come from."""

import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_contrastive.data import load_known_pairs, sentence_key
from hf_contrastive.errors import DataError
from hf_contrastive.negatives import KnownPairs

# Few small keys, so that pairs repeat and are found, and any 64-bit key.
KEY = st.one_of(st.integers(-2, 2), st.integers(-(2**63), 2**63 - 1))


def tensor(keys: list) -> torch.Tensor:
    return torch.tensor(keys, dtype=torch.long)


@settings(deadline=None)
@given(st.lists(st.tuples(KEY, KEY), max_size=30), st.data())
def test_contains_what_a_set_contains(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    known = KnownPairs(tensor([a for a, _ in pairs]), tensor([b for _, b in pairs]))
    assert len(known) == len(set(pairs))
    key = KEY if not pairs else st.one_of(KEY, st.sampled_from([key for pair in pairs for key in pair]))
    anchors = data.draw(st.lists(key, min_size=1, max_size=5))
    width, height = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([1, len(anchors)]))
    row = st.lists(key, min_size=width, max_size=width)
    candidates = data.draw(st.lists(row, min_size=height, max_size=height))  # [1, P] or [B, K]
    found = known.contain(tensor(anchors), tensor(candidates))
    rows = candidates if height == len(anchors) else candidates * len(anchors)
    assert found.tolist() == [[(a, b) in set(pairs) for b in own] for a, own in zip(anchors, rows, strict=True)]


FEW = st.integers(0, 6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(FEW, FEW), max_size=8),
    st.lists(FEW, min_size=2, max_size=6),
    st.lists(st.integers(0, 8), max_size=9),
    st.sampled_from([torch.int32, torch.int64]),
)
def test_a_pool_for_all_is_looked_up_as_each_anchors_own(
    pairs: list[tuple[int, int]], anchors: list[int], pool: list[int], kind: torch.dtype
) -> None:
    """Whichever way it is searched; anchors may be unknown or repeat, and so may the pool's candidates."""
    known = KnownPairs(tensor([a for a, _ in pairs]), tensor([b for _, b in pairs]).to(kind))
    shared = known.contain(tensor(anchors), tensor(pool).unsqueeze(0))
    assert shared.dtype == torch.bool and shared.shape == (len(anchors), len(pool))
    assert torch.equal(shared, known.contain(tensor(anchors), tensor(pool).expand(len(anchors), -1)))
    assert shared.tolist() == [[(a, b) in pairs for b in pool] for a in anchors]


@pytest.mark.parametrize(
    ("anchors", "pool", "in_pool"),
    [
        ([3, 3, 9], [5, 7, 5], True),  # three known pairs twice, nine cells
        ([3, 3, 3], [5, 7], False),  # nine known pairs, six cells
        ([3], [7], False),
        ([9, 8], [5], True),  # nothing is known of either
        ([9, 3], [], False),
        ([9], [], True),
        ([], [5], True),
    ],
)
def test_the_shorter_of_both_is_searched(
    anchors: list[int], pool: list[int], in_pool: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = {(3, 5), (3, 6), (3, 7), (4, 5)}
    known = KnownPairs(*torch.tensor(sorted(pairs)).unbind(1))
    looked_up, inner = [], KnownPairs._in_pool
    monkeypatch.setattr(KnownPairs, "_in_pool", lambda *given: looked_up.append(1) or inner(*given))
    found = known.contain(tensor(anchors), tensor(pool).unsqueeze(0))
    assert bool(looked_up) == in_pool and found.shape == (len(anchors), len(pool))
    assert found.tolist() == [[(a, b) in pairs for b in pool] for a in anchors]


def test_a_large_pool_is_looked_up_as_a_search_would() -> None:
    random = torch.Generator().manual_seed(0)
    known = KnownPairs(*torch.randint(300, (2, 4000), generator=random))
    anchors, pool = torch.randint(320, (64,), generator=random), torch.randint(320, (200,), generator=random)
    shared = known.contain(anchors, pool.unsqueeze(0))
    assert torch.equal(shared, known.contain(anchors, pool.expand(64, -1))) and 100 < shared.sum() < 2000


def test_refuses_lists_that_are_no_pairs() -> None:
    with pytest.raises(ValueError, match=r"expected two lists of one length, got .*\[2\].* and .*\[3\]"):
        KnownPairs(torch.zeros(2), torch.zeros(3))


FILES = {
    "pairs.tsv": "id\tanchor\tpositive\n7\tA dog. \t a cat\n8\tred\tblue\n",
    "simcse.csv": "sent0,sent1,hard_neg\nA dog. , a cat,\nred,blue,5\n",
    "pairs.jsonl": '{"sent0": "A dog.", "sent1": "a cat", "hard_neg": 1}\n{"sent0": "red", "sent1": "blue"}\n',
    "text.tsv": "text\tanchor\tpositive\n\tA dog.\ta cat\n\tred\tblue\n",
}


@pytest.mark.parametrize("name", FILES)
def test_pairs_of_a_file_are_known_in_both_directions(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).write_text(FILES[name])
    with caplog.at_level(logging.INFO):
        known = load_known_pairs(str(tmp_path / name))
    assert "2 pairs are known to be positive" in caplog.text
    texts = ["A dog.", "a cat", "red", "blue"]
    found = known.contain(tensor([sentence_key(t) for t in texts]), tensor([[sentence_key(t) for t in texts]]))
    assert found.nonzero().tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]


def test_a_pattern_reads_all_its_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.tsv").write_text(f"anchor\tpositive\na\t{number}\n")
    assert len(load_known_pairs(f"{tmp_path}/*.tsv")) == 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.tsv",
            "a\tb\n1\t2\n",
            "x.tsv: known positives are pairs, columns anchor and positive (or sent0 and sent1)",
        ),
        ("x.txt", "a sentence\n", "the columns are 'text'"),
        ("x.tsv", "anchor\tsent1\n1\t2\n", "the columns are 'anchor', 'sent1'"),
        ("x.tsv", "anchor\tpositive\none\ttwo\none\t  \n", "x.tsv, line 3, column 'positive': empty cell"),
        ("x.tsv", "anchor\tpositive\n", "x.tsv: no rows"),
        ("y.tsv", "", "x.tsv: no such file; did you mean"),
    ],
)
def test_files_that_hold_no_pairs_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        load_known_pairs(str(tmp_path / name.replace("y", "x")))
    assert message in str(caught.value)
