"""Files of a hierarchy: what is read, closed and refused."""

import gzip
import itertools
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hierarchies import PATHS, closure_file, rows, write

from hf_contrastive.data import load_hierarchy
from hf_contrastive.data.hierarchy_files import closed, read_edges
from hf_contrastive.errors import DataError

# A dog is a pet and a mammal, so two paths lead from it to animal and to entity, and from the poodle as well.
DIRECT = [
    ("animal", "entity"), ("plant", "entity"), ("mammal", "animal"), ("pet", "animal"), ("dog", "mammal"),
    ("dog", "pet"), ("cat", "mammal"), ("poodle", "dog"), ("tree", "plant"), ("oak", "tree"),
]  # fmt: skip


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
