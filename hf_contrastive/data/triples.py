"""Knowledge graphs: triples (head, relation, tail) of a training, a validation and a test split."""

import logging
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from datasets import DatasetDict, load_dataset
from torch import Tensor
from tqdm.auto import tqdm

from hf_contrastive.data.columns import quoted, require_columns, text_cell
from hf_contrastive.data.files import READERS
from hf_contrastive.data.hub import asking_the_hub
from hf_contrastive.data.loading import is_local
from hf_contrastive.errors import DataError
from hf_contrastive.negatives import KnownPairs

logger = logging.getLogger(__name__)

COLUMNS = ("head", "relation", "tail")
HUB_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
SUFFIXES = (".txt", ".txt.gz", ".tsv", ".tsv.gz")
MANY = 1.5  # partners on average from which one side of a relation counts as "N" (Bordes et al., 2013)

NamedTriples = Iterator[tuple[str, list[str]]]  # where it stands, and its head, relation and tail


@dataclass(frozen=True, eq=False)
class Triples:
    """N triples.

    Attributes:
        heads: int64 [N], ids of entities.
        relations: int64 [N], ids of relations.
        tails: int64 [N], ids of entities.
    """

    heads: Tensor
    relations: Tensor
    tails: Tensor

    def __post_init__(self) -> None:
        if not self.heads.shape == self.relations.shape == self.tails.shape or self.heads.dim() != 1:
            shapes = [tuple(x.shape) for x in (self.heads, self.relations, self.tails)]
            raise ValueError(f"expected three lists of one length, got {shapes}")

    def __len__(self) -> int:
        return len(self.heads)

    def __getitem__(self, rows: Tensor | slice) -> "Triples":
        """Some of them: by ids, a mask or a slice."""
        return Triples(self.heads[rows], self.relations[rows], self.tails[rows])

    def to(self, device: torch.device | str) -> "Triples":
        """The same on another device."""
        return Triples(self.heads.to(device), self.relations.to(device), self.tails.to(device))

    @classmethod
    def join(cls, *parts: "Triples") -> "Triples":
        """All triples of the parts, in order."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("heads", "relations", "tails")))

    def distinct(self) -> "Triples":
        """Each triple once, where it occurs first."""
        order = torch.arange(len(self), device=self.heads.device)
        for ids in (self.tails, self.relations, self.heads):
            order = order[ids[order].argsort(stable=True)]
        again = torch.ones_like(order, dtype=torch.bool)
        again[:1] = False
        for ids in (self.tails, self.relations, self.heads):
            again[1:] &= ids[order][1:] == ids[order][:-1]
        first = torch.empty_like(again)
        first[order] = ~again
        return self[first]


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """Entities, relations and triples; an id is a place in `entities` or `relations`.

    Attributes:
        entities: E names, in the order in which they occur: those of the training triples first.
        relations: R names, in the same order.
        train: distinct triples to learn from.
        valid: triples to choose a model by.
        test: triples to report.
    """

    entities: list[str]
    relations: list[str]
    train: Triples
    valid: Triples
    test: Triples

    @cached_property
    def known(self) -> Triples:
        """Every true triple of the three splits, once: what filtered ranks leave out."""
        return Triples.join(self.train, self.valid, self.test).distinct()


class KnownTails(KnownPairs):
    """The true tails of each (head, relation), looked up exactly and on the device of this module.

    As pairs of (`keys(heads, relations)`, tail) it is what `Filtered` takes. Over `add_reciprocal(triples, R)`, with
    2R relations, it has the true heads of each (relation r, tail) too: as the tails of (tail, r + R).

    Args:
        triples: true ones, repeated or not.
        num_relations: R, more than the highest id of a relation.
    """

    def __init__(self, triples: Triples, num_relations: int) -> None:
        if len(triples) and int(triples.relations.max()) >= num_relations:
            raise ValueError(f"num_relations is {num_relations}, but a triple has relation {triples.relations.max()}")
        self.num_relations = num_relations
        super().__init__(self.keys(triples.heads, triples.relations), triples.tails)

    def keys(self, heads: Tensor, relations: Tensor) -> Tensor:
        """A number [...] for each head and relation [...]: h R + r."""
        return heads * self.num_relations + relations

    def tails(self, heads: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
        """All true tails of B pairs [B] of head and relation.

        Returns:
            M places in the batch, ascending, and M ids of entities.
        """
        if not len(self):
            return heads.new_empty(0), heads.new_empty(0)
        wanted = self.keys(heads, relations)
        place = torch.searchsorted(self.anchors, wanted).clamp(max=len(self.anchors) - 1)
        count = (self.starts[place + 1] - self.starts[place]) * (self.anchors[place] == wanted)
        rows = torch.arange(len(heads), device=heads.device).repeat_interleave(count)
        before = count.cumsum(0) - count
        within = torch.arange(len(rows), device=heads.device) - before[rows]
        return rows, self.candidates[self.starts[place][rows] + within]


def add_reciprocal(triples: Triples, num_relations: int) -> Triples:
    """The triples, and behind them (t, r + R, h) for each (h, r, t) (Lacroix et al., 2018)."""
    reversed_ones = Triples(triples.tails, triples.relations + num_relations, triples.heads)
    return Triples.join(triples, reversed_ones)


def relation_categories(train: Triples) -> dict[int, str]:
    """`1-1`, `1-N`, `N-1` or `N-N` for each relation that occurs (Bordes et al., 2013, section 4.3).

    A side is "N" where the other side and the relation leave 1.5 entities or more on average: of a `1-N` relation a
    head has several tails, and a tail one head.
    """
    train = train.distinct()
    entities = int(torch.maximum(train.heads, train.tails).max()) + 1 if len(train) else 1
    triples = train.relations.bincount()
    partners = []
    for side in (train.tails, train.heads):
        pairs = (train.relations * entities + side).unique() // entities
        partners.append(triples / pairs.bincount())
    heads_a_tail, tails_a_head = (("N" if x >= MANY else "1" for x in side.tolist()) for side in partners)
    names = [f"{head}-{tail}" for head, tail in zip(heads_a_tail, tails_a_head, strict=True)]
    return {relation: names[relation] for relation in triples.nonzero().flatten().tolist()}


def load_knowledge_graph(source: str | Path, config: str | None = None) -> KnowledgeGraph:
    """Read the triples of `source`.

    Args:
        source: a folder with `train`, `valid` and `test`, each called .txt or .tsv, gzipped (.gz) or not: a line
            `head<TAB>relation<TAB>tail` a triple, no header. Or a dataset of the Hub with the columns `head`,
            `relation`, `tail` and the splits `train`, `validation`, `test`.
        config: configuration of a Hub dataset.

    Returns:
        The graph. Duplicates are kept once in `train`, and kept in the other splits. Entities and relations that only
        occur in the other splits have an id like any other. All of this is counted and logged, and so are triples of
        `valid` and `test` that occur in `train`.

    Raises:
        DataError: nothing there, a line or row that is no triple, or no training triple; names file, line, remedy.
    """
    named = _from_folder(Path(source).expanduser()) if is_local(str(source)) else _from_hub(str(source), config)
    entities: dict[str, int] = {}
    relations: dict[str, int] = {}
    splits = {}
    for split in HUB_SPLITS:
        if split not in named:
            logger.warning("%s: has no split %r", source, split)
        splits[split] = _numbered(named.get(split, ()), entities, relations, f"{source}, {split}")
        if split == "train":
            trained = (len(entities), len(relations))
            if not len(splits["train"]):
                raise DataError(f"{source}: no training triples; fill the split or name another source")
    distinct = splits["train"].distinct()
    graph = KnowledgeGraph(list(entities), list(relations), distinct, splits["valid"], splits["test"])
    _log(str(source), graph, len(splits["train"]) - len(distinct), trained)
    return graph


def _numbered(
    named: Iterable[tuple[str, list[str]]], entities: dict[str, int], relations: dict[str, int], name: str
) -> Triples:
    """Ids of named triples; names that are new get the next one."""
    ids = array("q")
    for _, (head, relation, tail) in tqdm(named, desc=name, unit="triples", delay=2, leave=False):
        ids.append(entities.setdefault(head, len(entities)))
        ids.append(relations.setdefault(relation, len(relations)))
        ids.append(entities.setdefault(tail, len(entities)))
    columns = torch.tensor(ids, dtype=torch.long).view(-1, 3).T.contiguous()
    return Triples(*columns)


def _from_folder(folder: Path) -> dict[str, NamedTriples]:
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder; name one with train.txt, valid.txt and test.txt in it")
    files = {split: [folder / f"{split}{suffix}" for suffix in SUFFIXES] for split in HUB_SPLITS}
    there = {split: [path for path in paths if path.is_file()] for split, paths in files.items()}
    for split, paths in there.items():
        if len(paths) > 1:
            raise DataError(f"{folder}: has {' and '.join(path.name for path in paths)}; keep one file for {split}")
    if not there["train"]:
        raise DataError(f"{folder}: has none of {', '.join(path.name for path in files['train'])}; correct the path")
    return {split: _read(paths[0]) for split, paths in there.items() if paths}


def _read(path: Path) -> NamedTriples:
    for where, record in READERS[".txt"](path, ()):
        fields = record["text"].split("\t")
        if len(fields) != 3 or not all(field.strip() for field in fields):
            raise DataError(
                f"{where}: expected head<TAB>relation<TAB>tail, got {record['text']!r:.80}; correct or remove the line"
            )
        if fields == list(COLUMNS):
            raise DataError(f"{where}: is a header; files of triples have none, remove the line")
        yield where, fields


def _from_hub(source: str, config: str | None) -> dict[str, NamedTriples]:
    with asking_the_hub(f"{source!r} is no local folder", "the path, the name or its configuration"):
        splits: DatasetDict = load_dataset(source, config)
    if "train" not in splits:
        raise DataError(f"{source}: no split 'train'; the splits are {quoted(splits)}; name another dataset")
    return {split: _rows(splits, name, source) for split, name in HUB_SPLITS.items() if name in splits}


def _rows(splits: DatasetDict, split: str, source: str) -> NamedTriples:
    require_columns(COLUMNS, splits[split].column_names, f"{source}, {split}")
    for number, record in enumerate(splits[split].select_columns(list(COLUMNS))):
        where = f"{source}, {split}, row {number} (counted from 0)"
        yield where, [text_cell(record, column, where) for column in COLUMNS]


def _log(source: str, graph: KnowledgeGraph, dropped: int, trained: tuple[int, int]) -> None:
    """What was read, and what is odd about it."""
    sizes = [f"{len(x):,}" for x in (graph.entities, graph.relations, graph.train, graph.valid, graph.test)]
    logger.info("%s: %s entities, %s relations, %s training, %s validation and %s test triples", source, *sizes)
    if dropped:
        logger.info("%s, train: %s repeated triples are left out", source, f"{dropped:,}")
    train = KnownTails(graph.train, len(graph.relations))
    for split in ("valid", "test"):
        triples: Triples = getattr(graph, split)
        repeated = len(triples) - len(triples.distinct())
        seen = train.contain(train.keys(triples.heads, triples.relations), triples.tails.unsqueeze(1)).sum()
        new = (torch.maximum(triples.heads, triples.tails) >= trained[0]) | (triples.relations >= trained[1])
        for count, what in (
            (repeated, "triples are repetitions, and count each time"),
            (int(seen), "triples occur in train: scores on them measure memory"),
            (int(new.sum()), "triples have an entity or a relation that train does not have; they are ranked too"),
        ):
            if count:
                logger.warning("%s, %s: %s %s", source, split, f"{count:,}", what)
    unseen = (len(graph.entities) - trained[0], len(graph.relations) - trained[1])
    if any(unseen):
        logger.info("%s: %s entities and %s relations do not occur in train", source, *(f"{n:,}" for n in unseen))
