import gzip
import itertools
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_contrastive.data import NEGATIVE_KINDS, Hierarchy, load_hierarchy
from hf_contrastive.data.hierarchy_files import closed, read_edges
from hf_contrastive.data.hierarchy_negatives import RANDOM_ANCESTOR, RANDOM_CHILD, REVERSED, SIBLING, TrueNegatives
from hf_contrastive.errors import DataError, RecipeError

# A dog is a pet and a mammal, so two paths lead from it to animal and to entity, and from the poodle as well.
DIRECT = [
    ("animal", "entity"), ("plant", "entity"), ("mammal", "animal"), ("pet", "animal"), ("dog", "mammal"),
    ("dog", "pet"), ("cat", "mammal"), ("poodle", "dog"), ("tree", "plant"), ("oak", "tree"),
]  # fmt: skip
PATHS = {
    ("animal", "entity"): 1, ("plant", "entity"): 1, ("mammal", "animal"): 1, ("mammal", "entity"): 1,
    ("pet", "animal"): 1, ("pet", "entity"): 1, ("dog", "mammal"): 1, ("dog", "pet"): 1, ("dog", "animal"): 2,
    ("dog", "entity"): 2, ("cat", "mammal"): 1, ("cat", "animal"): 1, ("cat", "entity"): 1, ("poodle", "dog"): 1,
    ("poodle", "mammal"): 1, ("poodle", "pet"): 1, ("poodle", "animal"): 2, ("poodle", "entity"): 2,
    ("tree", "plant"): 1, ("tree", "entity"): 1, ("oak", "tree"): 1, ("oak", "plant"): 1, ("oak", "entity"): 1,
}  # fmt: skip
SIBLINGS = [{"animal", "plant"}, {"mammal", "pet"}, {"dog", "cat"}]  # mammal comes before pet, so dog is counted there


def write(path: Path, rows: list[tuple]) -> Path:
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def closure_file(folder: Path) -> Path:
    return write(folder / "closure.tsv", [(*pair, paths) for pair, paths in PATHS.items()])


def small(folder: Path, protocol: str = "filtered", seed: int = 0) -> Hierarchy:
    return load_hierarchy(closure_file(folder), protocol, seed, dev_pairs=4, test_pairs=5)


def rows(pairs: torch.Tensor | np.ndarray) -> list[tuple[int, int]]:
    return [tuple(pair) for pair in pairs.tolist()]


# --- files ---


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.txt.gz"])
def test_reads_pairs_of_names(tmp_path: Path, name: str, header: bool) -> None:
    edges = read_edges(write(tmp_path / name, [("child", "ancestor")] * header + DIRECT))
    assert {(edges.names[c], edges.names[a]) for c, a in edges.pairs} == set(DIRECT)
    assert sorted(rows(edges.pairs)) == rows(edges.pairs)
    assert edges.counts.tolist() == [1] * len(DIRECT) and not edges.counted
    assert sorted(edges.names) == sorted(set(itertools.chain(*DIRECT)))


def test_a_folder_of_numbers_and_names_is_the_same_hierarchy(tmp_path: Path) -> None:
    edges = read_edges(closure_file(tmp_path))
    write(tmp_path / "synset_names.txt", [(name,) for name in edges.names])
    numbers = [(edges.names.index(c), edges.names.index(a), n) for (c, a), n in PATHS.items()]
    write(tmp_path / "hypernyms_closure.tsv.gz", numbers)
    folder = read_edges(tmp_path)
    assert folder.names == edges.names and folder.counted and edges.counted
    np.testing.assert_array_equal(folder.pairs, edges.pairs)
    np.testing.assert_array_equal(folder.counts, edges.counts)


def test_windows_line_ends_a_byte_order_mark_and_quotation_marks(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_bytes(b'\xef\xbb\xbfa "b\tc\r\nN/A\tc\r\n')
    assert read_edges(tmp_path / "x.tsv").names == ['a "b', "N/A", "c"]


def test_pairs_that_stand_twice_count_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        edges = read_edges(write(tmp_path / "x.tsv", [("a", "b"), ("c", "b"), ("a", "b"), ("a", "b")]))
    assert [(edges.names[c], n) for (c, _), n in zip(edges.pairs, edges.counts, strict=True)] == [("a", 3), ("c", 1)]
    assert "2 lines repeat a pair" in caplog.text
    counted = read_edges(write(tmp_path / "y.tsv", [("a", "b", 2), ("c", "b", 1), ("a", "b", 5)]))
    assert counted.counts.tolist() == [7, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a\tb\nc\n", r"x.tsv, line 2: expected child<TAB>ancestor, got 'c'"),
        (b"a\tb\na\tb\tc\n", r"x.tsv, line 2: expected child<TAB>ancestor, got"),
        (b"child\tancestor\na\tb\n\nc\tb\n", r"x.tsv, line 3: a name is empty"),
        (b"a\tb\t1\nc\tb\tmany\n", r"x.tsv, line 2: expected child<TAB>ancestor<TAB>paths"),
        (b"a\tb\t1\nc\tb\t\n", r"x.tsv, line 2: expected child<TAB>ancestor<TAB>paths"),
        (b"a\tb\t1\nc\tb\t0\n", r"x.tsv, line 2: 0 paths"),
        (b"a\tb\n\xff\tb\n", r"x.tsv, line 2: byte 1 is not UTF-8"),
        (b"child\tancestor\na\tb\nc\t \n", r"x.tsv, line 3: a name is empty"),
        (b"a\tb\nc\tc\n", r"x.tsv, line 2: 'c' above itself"),
        (b"x\ty\na\tb\nb\ta\n", r"x.tsv, line 2: 'a' and 'b' stand above each other"),
        (b"a\tb\nb\rc\td\n", r"x.tsv, line 2: expected"),
        (b"", r"x.tsv: no pairs"),
        (b"child\tancestor\n", r"x.tsv: no pairs"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "x.tsv").write_bytes(text)
    with pytest.raises(DataError, match=says):
        read_edges(tmp_path / "x.tsv")


@pytest.mark.parametrize(
    ("names", "pairs", "says"),
    [
        (b"a\nb\n", b"0\t1\t1\n1\t2\t1\n", r"hypernyms_closure.tsv, line 2: \[1, 2\] are not both among the 2 lines"),
        (b"a\nb\n", b"0\t1\t1\n-1\t1\t1\n", r"hypernyms_closure.tsv, line 2: \[-1, 1\]"),
        (b"a\nb\n", b"0\t1\t1\n\n1\t0\t1\n", r"hypernyms_closure.tsv, line 2: expected"),
        (b"a\nb\n", b"0\t1\t1\na\t1\t1\n", r"hypernyms_closure.tsv, line 2: expected .* all of them numbers"),
        (b"a\nb\n", b"0\t1\t1\n%d\t1\t1\n" % (1 << 64), r"hypernyms_closure.tsv, line 2: expected"),
        (b"a\na\n", b"0\t1\t1\n", r"synset_names.txt, line 2: 'a' also stands in line 1"),
        (b"a\n\nb\n", b"0\t1\t1\n", r"synset_names.txt, line 2: no name"),
        (b"a\n\xff\n", b"0\t1\t1\n", r"synset_names.txt: not UTF-8 at byte 2"),
        (None, b"0\t1\t1\n", r"no synset_names.txt or synset_names.txt.gz in it"),
        (b"a\nb\n", None, r"no hypernyms_closure.tsv or hypernyms_closure.tsv.gz in it"),
    ],
)
def test_errors_of_a_folder_name_file_and_line(
    tmp_path: Path, names: bytes | None, pairs: bytes | None, says: str
) -> None:
    for name, content in (("synset_names.txt", names), ("hypernyms_closure.tsv", pairs)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_edges(tmp_path)


def test_a_damaged_or_missing_file_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(b"a\tb\n" * 100)[:-9])
    with pytest.raises(DataError, match=r"x.tsv.gz: cannot be read"):
        read_edges(tmp_path / "x.tsv.gz")
    with pytest.raises(DataError, match=r"y.tsv: no such file or folder"):
        read_edges(tmp_path / "y.tsv")


# --- closure ---


def test_the_closure_of_direct_pairs_counts_paths(tmp_path: Path) -> None:
    edges = closed(read_edges(write(tmp_path / "direct.tsv", DIRECT)))
    found = {(edges.names[c], edges.names[a]): n for (c, a), n in zip(edges.pairs, edges.counts, strict=True)}
    assert found == PATHS and edges.counted
    assert sorted(rows(edges.pairs)) == rows(edges.pairs)


@pytest.mark.parametrize("seed", range(3))
def test_the_closure_of_a_random_order_by_recursion(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(12)
    direct = {(f"c{order[i]}", f"c{order[j]}") for i, j in rng.integers(0, 12, (30, 2)) if i > j}

    def climb(concept: str) -> Counter:
        above: Counter = Counter()
        for child, parent in direct:
            if child == concept:
                above[parent] += 1
                above.update(climb(parent))
        return above

    expected = {(c, a): n for c in {c for c, _ in direct} for a, n in climb(c).items()}
    edges = closed(read_edges(write(tmp_path / "direct.tsv", sorted(direct))))
    assert max(expected.values()) > 1
    pairs = zip(edges.pairs, edges.counts, strict=True)
    assert {(edges.names[c], edges.names[a]): n for (c, a), n in pairs} == expected


def test_an_edge_that_stands_twice_is_one_path(tmp_path: Path) -> None:
    edges = closed(read_edges(write(tmp_path / "x.tsv", [("a", "b"), ("a", "b"), ("b", "c")])))
    assert edges.counts.tolist() == [1, 1, 1]


def test_refuses_to_close_a_cycle_and_what_is_closed(tmp_path: Path) -> None:
    cycle = write(tmp_path / "x.tsv", [("z", "a"), ("a", "b"), ("b", "c"), ("c", "a")])
    with pytest.raises(DataError, match=r"x.tsv: '[abc]' is above itself by a chain"):
        load_hierarchy(cycle, close=True)
    with pytest.raises(DataError, match=r"has a count of paths, so it is closed already"):
        load_hierarchy(closure_file(tmp_path), close=True)


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


# --- draws of negatives ---


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
def test_closing_wordnets_direct_pairs_gives_its_closure(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "wordnet" / "wn30"
    expected = read_edges(folder)
    lines = gzip.decompress((folder / "hypernyms_direct.tsv.gz").read_bytes()).decode().splitlines()
    names = [(expected.names[int(child)], expected.names[int(parent)]) for child, parent, _ in map(str.split, lines)]
    found = closed(read_edges(write(tmp_path / "direct.tsv", names)))
    ids = {name: place for place, name in enumerate(expected.names)}
    places = np.array([ids[name] for name in found.names])
    order = np.lexsort(places[found.pairs].T[::-1])
    np.testing.assert_array_equal(places[found.pairs][order], expected.pairs)
    np.testing.assert_array_equal(found.counts[order], expected.counts)


@pytest.mark.shared
def test_wordnet_filtered_has_no_leak(shared_data: Path) -> None:
    h = load_hierarchy(shared_data / "wordnet" / "wn30")
    assert not any(h.leaks.values()) and len(h.train) == 743_241 - 8000
    assert np.bincount(h.test_kinds)[:3].tolist()[2] == 4000 and (h.test_kinds < 2).sum() == 4000
