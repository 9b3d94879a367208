"""How a hierarchy is split by both protocols, its leaks, and WordNet's published numbers."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hierarchies import PATHS, closure_file, rows, write

from hf_contrastive.data import Hierarchy, load_hierarchy
from hf_contrastive.data.hierarchy_files import read_edges
from hf_contrastive.data.hierarchy_negatives import RANDOM_ANCESTOR, RANDOM_CHILD, REVERSED, SIBLING
from hf_contrastive.errors import DataError, RecipeError

SIBLINGS = [{"animal", "plant"}, {"mammal", "pet"}, {"dog", "cat"}]  # mammal comes before pet, so dog is counted there


def small(folder: Path, protocol: str = "filtered", seed: int = 0) -> Hierarchy:
    return load_hierarchy(closure_file(folder), protocol, seed, dev_pairs=4, test_pairs=5)


# --- protocols ---


@pytest.mark.parametrize("seed", range(5))
def test_filtered_holds_out_pairs_and_draws_true_negatives(tmp_path: Path, seed: int) -> None:
    h = small(tmp_path, seed=seed)
    parts = [rows(part) for part in (h.train, h.dev, h.test)]
    assert [len(part) for part in parts] == [23 - 9, 4, 5]
    assert sorted(itertools.chain(*parts)) == rows(h.pairs)  # every pair once
    named = {(h.names[c], h.names[a]) for c, a in rows(h.pairs)}
    assert named == set(PATHS)
    assert h.paths.tolist() == [PATHS[h.names[c], h.names[a]] for c, a in rows(h.train)]
    for split in ("dev", "test"):
        pairs, negatives, kinds = h.split(split)
        assert kinds.dtype == torch.int8 and negatives.dtype == torch.int64
        assert not set(rows(negatives)) & set(rows(h.pairs))
        for pair, negative, kind in zip(rows(pairs), rows(negatives), kinds.tolist(), strict=False):
            assert kind in (RANDOM_CHILD, RANDOM_ANCESTOR)
            assert negative[1 - kind] == pair[1 - kind] and negative[0] != negative[1]
            assert h.names[pair[1]] != "entity" or kind == RANDOM_ANCESTOR  # everything is below it
        assert rows(negatives[kinds == REVERSED]) == [(a, c) for c, a in rows(pairs)]
        beside = [pair for pair in rows(pairs) if any(h.names[pair[0]] in group for group in SIBLINGS)]
        assert [c for c, _ in rows(negatives[kinds == SIBLING])] == [c for c, _ in beside]
        assert all({h.names[c], h.names[s]} in SIBLINGS for c, s in rows(negatives[kinds == SIBLING]))
        assert len(negatives) == 2 * len(pairs) + len(beside)
    assert not any(h.leaks.values())


def test_known_pairs_of_all_and_of_train(tmp_path: Path) -> None:
    h = small(tmp_path)
    everything = torch.cartesian_prod(torch.arange(len(h.names)), torch.arange(len(h.names)))
    child, ancestor = everything[:, 0].contiguous(), everything[:, 1:]
    assert rows(everything[h.known.contain(child, ancestor).squeeze(1)]) == rows(h.pairs)
    assert rows(everything[h.known_in_train.contain(child, ancestor).squeeze(1)]) == sorted(rows(h.train))


@pytest.mark.parametrize("seed", range(5))
def test_path_counted_holds_out_rows_with_all_their_leaks(tmp_path: Path, seed: int) -> None:
    h = small(tmp_path, "path_counted", seed)
    parts = [rows(part) for part in (h.train, h.dev, h.test)]
    assert [len(part) for part in parts] == [27 - 9, 4, 5] and h.paths is None
    assert Counter((h.names[c], h.names[a]) for c, a in itertools.chain(*parts)) == PATHS
    for split in ("dev", "test"):
        pairs, negatives, kinds = h.split(split)
        for pair, negative, kind in zip(rows(pairs), rows(negatives), kinds.tolist(), strict=True):
            assert kind in (RANDOM_CHILD, RANDOM_ANCESTOR) and negative[1 - kind] == pair[1 - kind]
        known = set(rows(h.pairs))
        assert h.leaks[f"{split}_in_train"] == sum(pair in set(parts[0]) for pair in rows(pairs))
        assert h.leaks[f"{split}_negatives_true"] == sum(pair in known for pair in rows(negatives))


def test_path_counted_leaks_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leaks = [small(tmp_path, "path_counted", seed).leaks for seed in range(20)]
    assert all(sum(leak[name] for leak in leaks) for name in leaks[0])  # each kind occurs
    assert "protocol path_counted leaks: dev_in_train" in caplog.text
    caplog.clear()
    small(tmp_path)
    assert "leaks:" not in caplog.text


def test_planted_leaks_are_counted(tmp_path: Path) -> None:
    h = small(tmp_path)
    planted = replace(
        h,
        train=torch.cat([h.train, h.dev[:2], h.test[:1]]),
        dev_negatives=torch.cat([h.dev_negatives, h.train[:3]]),
        test_negatives=torch.cat([h.test_negatives, h.dev, h.test[:1]]),
    )
    assert planted.leaks == {"dev_in_train": 2, "test_in_train": 1, "dev_negatives_true": 3, "test_negatives_true": 5}


def test_lines_that_repeat_are_rows_of_path_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tsv", [("a", "b")] * 5 + [("c", "b"), ("d", "b")])
    h = load_hierarchy(path, "path_counted", dev_pairs=1, test_pairs=1)
    assert Counter(rows(torch.cat([h.train, h.dev, h.test]))) == {(0, 3): 5, (1, 3): 1, (2, 3): 1}
    assert h.names == ["a", "c", "d", "b"]
    assert len(load_hierarchy(path, dev_pairs=1, test_pairs=1).train) == 1


def test_the_seed_decides(tmp_path: Path) -> None:
    one, same, other = (small(tmp_path, seed=seed) for seed in (1, 1, 2))
    for field in ("train", "dev", "test", "dev_negatives", "test_negatives", "dev_kinds", "test_kinds"):
        assert torch.equal(getattr(one, field), getattr(same, field))
    assert rows(one.test) != rows(other.test)


def test_refuses_what_cannot_be_split(tmp_path: Path) -> None:
    path = closure_file(tmp_path)
    with pytest.raises(DataError, match=r"closure.tsv: 23 pairs do not suffice to hold 4,000 \+ 4,000 out"):
        load_hierarchy(path)
    assert len(load_hierarchy(path, dev_pairs=11, test_pairs=11).train) == 1
    with pytest.raises(DataError, match="23 pairs"):
        load_hierarchy(path, dev_pairs=11, test_pairs=12)
    with pytest.raises(RecipeError, match="protocol: unknown protocol 'published'"):
        load_hierarchy(path, "published")
    with pytest.raises(RecipeError, match="test_pairs: must be at least 1, got 0"):
        load_hierarchy(path, test_pairs=0)
    with pytest.raises(ValueError, match="unknown split 'train'"):
        small(tmp_path).split("train")


# --- WordNet ---


@pytest.mark.shared
@pytest.mark.parametrize(("version", "pairs", "paths"), [("wn30", 743_241, 837_888), ("wn31", 743_746, 838_073)])
def test_wordnet_has_the_published_size_and_leaks(shared_data: Path, version: str, pairs: int, paths: int) -> None:
    """Of 4,000 test rows about a fifth is in train, of their negatives about a seventh is true."""
    folder = shared_data / "wordnet" / version
    edges = read_edges(folder)
    h = load_hierarchy(folder, "path_counted")
    assert len(h.pairs) == pairs and len(h.train) + len(h.dev) + len(h.test) == paths
    # What to expect of any draw: rows that have a twin, and how many concepts make a true pair with the end kept.
    child, ancestor = edges.pairs.T
    share = edges.counts / edges.counts.sum()
    below, above = np.bincount(ancestor, minlength=len(h.names)), np.bincount(child, minlength=len(h.names))
    in_train = float(share[edges.counts > 1].sum())
    true = float((share * (below[ancestor] + above[child])).sum() / 2 / len(h.names))
    assert in_train == pytest.approx(0.197, abs=0.02) and true == pytest.approx(0.139, abs=0.01)
    for split in ("dev", "test"):
        assert h.leaks[f"{split}_in_train"] / 4000 == pytest.approx(in_train, abs=4 * (in_train / 4000) ** 0.5)
        assert h.leaks[f"{split}_negatives_true"] / 4000 == pytest.approx(true, abs=4 * (true / 4000) ** 0.5)


@pytest.mark.shared
def test_wordnet_filtered_has_no_leak(shared_data: Path) -> None:
    h = load_hierarchy(shared_data / "wordnet" / "wn30")
    assert not any(h.leaks.values()) and len(h.train) == 743_241 - 8000
    assert np.bincount(h.test_kinds)[:3].tolist()[2] == 4000 and (h.test_kinds < 2).sum() == 4000
