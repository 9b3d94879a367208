import gzip
import logging
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict

from hf_contrastive.data import (
    KnowledgeGraph,
    KnownTails,
    Triples,
    add_reciprocal,
    load_knowledge_graph,
    relation_categories,
    triples,
)
from hf_contrastive.errors import DataError

TRAIN = "a\tlikes\tb\nb\tlikes\tc\na\tlikes\tb\n\nb\tis near\ta\n"
VALID = "c\tlikes\ta\nd\tlikes\ta\nd\tlikes\ta\n"
TEST = "b\tlikes\tc\na\tknows\te f\n"


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(gzip.compress(content.encode()) if name.endswith("_gz") else content.encode())
    return folder


def listed(part: Triples) -> list[tuple[int, int, int]]:
    return list(zip(part.heads.tolist(), part.relations.tolist(), part.tails.tolist(), strict=True))


def random_triples(count: int = 60, entities: int = 7, relations: int = 3, seed: int = 0) -> Triples:
    torch.manual_seed(seed)
    return Triples(*(torch.randint(size, (count,)) for size in (entities, relations, entities)))


# --- reading ---


@pytest.mark.parametrize(
    "names",
    [("train_txt", "valid_txt", "test_txt"), ("train_tsv_gz", "valid_tsv", "test_txt_gz")],
)
def test_ids_are_places_in_order_of_occurrence(tmp_path: Path, names: tuple[str, str, str]) -> None:
    graph = load_knowledge_graph(write(tmp_path, **dict(zip(names, (TRAIN, VALID, TEST), strict=True))))
    assert graph.entities == ["a", "b", "c", "d", "e f"]
    assert graph.relations == ["likes", "is near", "knows"]
    assert listed(graph.train) == [(0, 0, 1), (1, 0, 2), (1, 1, 0)]
    assert listed(graph.valid) == [(2, 0, 0), (3, 0, 0), (3, 0, 0)]
    assert listed(graph.test) == [(1, 0, 2), (0, 2, 4)]
    assert sorted(listed(graph.known)) == sorted(set(listed(graph.train) + listed(graph.valid) + listed(graph.test)))


def test_what_is_odd_is_counted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load_knowledge_graph(write(tmp_path, train_txt=TRAIN, valid_txt=VALID, test_txt=TEST))
    for said in (
        "5 entities, 3 relations, 3 training, 3 validation and 2 test triples",
        "train: 1 repeated triples are left out",
        "train.txt: skipped 1 blank lines",
        "valid: 1 triples are repetitions",
        "valid: 2 triples have an entity or a relation that train does not have",
        "test: 1 triples occur in train",
        "test: 1 triples have an entity or a relation that train does not have",
        "2 entities and 1 relations do not occur in train",
    ):
        assert said in caplog.text
    assert "valid: 0" not in caplog.text and "valid: 1 triples occur in train" not in caplog.text


def test_nothing_odd_nothing_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        graph = load_knowledge_graph(write(tmp_path, train_txt="a\tr\tb\nb\tr\ta\n", test_txt="a\tr\ta\n"))
    assert not len(graph.valid) and len(graph.test) == 1
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "has no split 'valid'",
        "2 entities, 1 relations, 2 training, 0 validation and 1 test triples",
    ]


@pytest.mark.parametrize(
    "files, message",
    [
        ({"train_txt": "a\tr\tb\na\tr\n"}, r"train\.txt, line 2: expected head<TAB>relation<TAB>tail, got 'a\\tr'"),
        ({"train_txt": "a r b\n"}, r"train\.txt, line 1: expected head"),
        ({"train_tsv": "a\tr\tb\tc\n"}, r"train\.tsv, line 1: expected head"),
        ({"train_txt": TRAIN, "test_txt_gz": "a\t \tb\n"}, r"test\.txt\.gz, line 1: expected head"),
        ({"train_tsv": "head\trelation\ttail\na\tr\tb\n"}, r"train\.tsv, line 1: is a header"),
        ({"train_txt": TRAIN, "train_tsv_gz": TRAIN}, r"has train\.txt and train\.tsv\.gz; keep one file for train"),
        ({"valid_txt": VALID}, r"has none of train\.txt, train\.txt\.gz, train\.tsv, train\.tsv\.gz"),
        ({"train_txt": "\n"}, "no training triples"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_knowledge_graph(write(tmp_path, **files))
    with pytest.raises(DataError, match="elsewhere: is no folder"):
        load_knowledge_graph(tmp_path / "elsewhere")


def test_a_hub_dataset_has_the_same_splits(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def rows(text: str) -> Dataset:
        cells = [line.split("\t") for line in text.split("\n") if line]
        columns = dict(zip(("head", "relation", "tail"), map(list, zip(*cells, strict=True)), strict=True))
        return Dataset.from_dict({"id": list(range(len(cells))), **columns})

    asked: list[tuple] = []
    splits = DatasetDict(train=rows(TRAIN), validation=rows(VALID), test=rows(TEST))

    def double(*names: str | None) -> DatasetDict:
        asked.append(names)
        return splits

    monkeypatch.setattr(triples, "load_dataset", double)
    graph = load_knowledge_graph("some/graph", "small")
    assert asked == [("some/graph", "small")]
    assert graph.entities == ["a", "b", "c", "d", "e f"]
    assert listed(graph.train) == [(0, 0, 1), (1, 0, 2), (1, 1, 0)] and listed(graph.test) == [(1, 0, 2), (0, 2, 4)]

    splits["test"] = Dataset.from_dict({"head": ["a", "b"], "relation": ["r", "r"], "tail": ["a", ""]})
    with pytest.raises(DataError, match=r"some/graph, test, row 1 \(counted from 0\), column 'tail': empty cell"):
        load_knowledge_graph("some/graph")
    splits["test"] = Dataset.from_dict({"head": ["a"], "relation": ["r"], "tails": ["a"]})
    with pytest.raises(DataError, match="some/graph, test: no column 'tail'.*did you mean 'tails'"):
        load_knowledge_graph("some/graph")
    del splits["train"]
    with pytest.raises(DataError, match="some/graph: no split 'train'; the splits are 'validation', 'test'"):
        load_knowledge_graph("some/graph")


def test_a_dataset_the_hub_does_not_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FileNotFoundError("not there\nsecond line")

    monkeypatch.setattr(triples, "load_dataset", refuse)
    with pytest.raises(DataError, match=r"'some/graph' is no local folder, .* \(FileNotFoundError: not there\); corr"):
        load_knowledge_graph("some/graph")


@pytest.mark.shared
def test_published_graphs_are_read_whole(shared_data: Path) -> None:
    sizes = {}
    for name in ("WN18RR", "FB15k-237"):
        graph = load_knowledge_graph(shared_data / "kg" / name)
        parts = (graph.entities, graph.relations, graph.train, graph.valid, graph.test)
        categories = list(relation_categories(graph.train).values())
        sizes[name] = [*map(len, parts), *(categories.count(kind) for kind in ("1-1", "1-N", "N-1", "N-N"))]
    assert sizes == {
        "WN18RR": [40943, 11, 86835, 3034, 3134, 2, 4, 3, 2],
        "FB15k-237": [14541, 237, 272115, 17535, 20466, 17, 26, 86, 108],
    }


# --- triples ---


def test_distinct_keeps_the_first_of_each_in_order() -> None:
    some = random_triples()
    expected = list(dict.fromkeys(listed(some)))
    assert listed(some.distinct()) == expected and len(expected) < len(some)
    assert listed(Triples.join(some, some).distinct()) == expected
    none = some[:0]
    assert len(none.distinct()) == 0


def test_parts_of_triples() -> None:
    some = random_triples(5)
    everything = listed(some)
    assert listed(some[1:3]) == everything[1:3]
    assert listed(some[torch.tensor([4, 0])]) == [everything[4], everything[0]]
    assert listed(some[some.heads == some.heads[0]]) == [one for one in everything if one[0] == everything[0][0]]
    assert listed(Triples.join(some[:2], some[2:]).to("cpu")) == everything
    with pytest.raises(ValueError, match=r"three lists of one length, got \[\(5,\), \(5,\), \(4,\)\]"):
        Triples(some.heads, some.relations, some.tails[1:])


def test_reciprocal_triples_stand_behind_the_others() -> None:
    some = random_triples(9)
    assert listed(add_reciprocal(some, 3)) == listed(some) + [(t, r + 3, h) for h, r, t in listed(some)]


def reference_categories(some: Triples) -> dict[int, str]:
    out = {}
    for relation in {r for _, r, _ in listed(some)}:
        tails, heads = defaultdict(set), defaultdict(set)
        for h, r, t in listed(some):
            if r == relation:
                tails[h].add(t)
                heads[t].add(h)
        many = [sum(map(len, x.values())) / len(x) >= 1.5 for x in (heads, tails)]
        out[relation] = "-".join("N" if x else "1" for x in many)
    return out


def test_categories_are_a_loops() -> None:
    seen = set()
    for seed in range(30):
        some = random_triples(12, 8, 5, seed)
        assert relation_categories(some) == reference_categories(some)
        seen |= set(relation_categories(some).values())
    assert seen == {"1-1", "1-N", "N-1", "N-N"}
    assert relation_categories(some[:0]) == {}


def test_the_first_letter_of_a_category_is_the_heads() -> None:
    # Relation 0: one head with 1, another with 2 tails: 1.5 on average, which is many; relation 2: the same reversed.
    some = Triples(
        torch.tensor([0, 1, 1, 2, 3, 4]), torch.tensor([0, 0, 0, 2, 2, 2]), torch.tensor([5, 6, 7, 5, 6, 6])
    )
    assert relation_categories(some) == {0: "1-N", 2: "N-1"}


# --- known tails ---


def test_known_tails_are_a_dictionarys() -> None:
    some = random_triples()
    of_tails, of_heads = defaultdict(set), defaultdict(set)
    for h, r, t in listed(some):
        of_tails[h, r].add(t)
        of_heads[t, r].add(h)
    known = KnownTails(add_reciprocal(some, 3), 6)
    heads, relations = torch.cartesian_prod(torch.arange(9), torch.arange(6)).unbind(1)  # some have none
    rows, tails = known.tails(heads, relations)
    found = defaultdict(list)
    for row, tail in zip(rows.tolist(), tails.tolist(), strict=True):
        found[row].append(tail)
    assert rows.tolist() == sorted(rows.tolist())
    for row, (h, r) in enumerate(zip(heads.tolist(), relations.tolist(), strict=True)):
        expected = of_tails[h, r] if r < 3 else of_heads[h, r - 3]
        assert found[row] == sorted(expected)
    inside = known.contain(known.keys(heads, relations), torch.arange(9).unsqueeze(0))
    assert inside.sum() == len(tails) and inside[rows, tails].all()


def test_no_triples_no_tails() -> None:
    known = KnownTails(random_triples()[:0], 3)
    rows, tails = known.tails(torch.tensor([0, 1]), torch.tensor([2, 0]))
    assert rows.tolist() == tails.tolist() == []
    assert not known.contain(known.keys(torch.tensor([1]), torch.tensor([1])), torch.arange(4).unsqueeze(0)).any()
    with pytest.raises(ValueError, match="num_relations is 2, but a triple has relation 2"):
        KnownTails(random_triples(), 2)


def test_ids_far_apart_do_not_meet() -> None:
    some = Triples(torch.tensor([2**31, 2**31 + 1]), torch.tensor([5, 5]), torch.tensor([2**31, 2**31 + 3]))
    known = KnownTails(some, 100_000)
    rows, tails = known.tails(some.heads, some.relations)
    assert rows.tolist() == [0, 1] and tails.tolist() == some.tails.tolist()


def test_a_graph_knows_the_triples_of_all_splits() -> None:
    some = random_triples()
    graph = KnowledgeGraph(list("abcdefg"), list("rst"), some[:40].distinct(), some[40:50], some[50:])
    assert sorted(listed(graph.known)) == sorted(set(listed(some)))
