"""STS tables and BEIR collections for the other libraries of `evaluators.py`, read by csv and json, not by us.

A mistake of our loaders then shows as a difference. Texts stay as they stand in the files.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PlainCollection:
    """A corpus, the queries with a relevant document, and the grades above 0 of each: {query: {document: grade}}."""

    titles: dict[str, str]
    texts: dict[str, str]
    queries: dict[str, str]
    grades: dict[str, dict[str, int]]

    def documents(self) -> dict[str, str]:
        """Title and text joined, as BEIR joins them."""
        return {name: f"{self.titles[name]} {text}".strip() for name, text in self.texts.items()}

    def fewer(self, others: int) -> "PlainCollection":
        """With the relevant documents and the first `others` of the rest, in the order of the file."""
        relevant = {document for grades in self.grades.values() for document in grades}
        rest = [name for name in self.texts if name not in relevant]
        kept = relevant | set(rest[:others])
        return replace(self, texts={name: text for name, text in self.texts.items() if name in kept})

    def write(self, folder: Path) -> None:
        """In BEIR's layout."""
        (folder / "qrels").mkdir()
        corpus = [{"_id": name, "title": self.titles[name], "text": text} for name, text in self.texts.items()]
        queries = [{"_id": name, "text": text} for name, text in self.queries.items()]
        for name, rows in (("corpus", corpus), ("queries", queries)):
            content = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(content, encoding="utf-8")
        judged = [(query, *graded) for query, grades in self.grades.items() for graded in grades.items()]
        table = "".join(f"{query}\t{document}\t{grade}\n" for query, document, grade in judged)
        (folder / "qrels/test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{table}", encoding="utf-8")


def read_pairs(path: Path) -> tuple[list[str], list[str], list[float]]:
    """Two sentences and a score, of each line of a table."""
    rows = list(_table(path))
    return (
        [row["sentence1"] for row in rows],
        [row["sentence2"] for row in rows],
        [float(row["score"]) for row in rows],
    )


def read_collection(folder: Path) -> PlainCollection:
    """A collection in BEIR's layout, its files packed or not."""
    corpus = list(_objects(folder / "corpus.jsonl"))
    grades: dict[str, dict[str, int]] = {}
    for row in _table(folder / "qrels/test.tsv"):
        if int(row["score"]) > 0:
            grades.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return PlainCollection(
        {row["_id"]: row.get("title", "") for row in corpus},
        {row["_id"]: row["text"] for row in corpus},
        {row["_id"]: row["text"] for row in _objects(folder / "queries.jsonl") if row["_id"] in grades},
        grades,
    )


def _table(path: Path) -> Iterator[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    packed = path.with_name(f"{path.name}.gz")
    with gzip.open(packed, "rb") if packed.is_file() else open(path, "rb") as file:
        yield from map(json.loads, file)
