"""Retrieval test collections in BEIR's layout: `corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`, or those gzipped.

Thakur et al., 2021, arXiv 2104.08663. Documents are title and text joined by a space, as BEIR and MTEB join them.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_contrastive.data import read_rows
from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetrievalData:
    """A corpus, the queries that have a relevant document, and what was judged of them.

    Attributes:
        name: of the folder.
        document_ids: [C].
        documents: [C], their texts.
        query_ids: [Q].
        queries: [Q], their texts.
        gains: [Q], what each relevant document is worth: {id: grade above 0}.
    """

    name: str
    document_ids: list[str]
    documents: list[str]
    query_ids: list[str]
    queries: list[str]
    gains: list[dict[str, int]]


def is_retrieval_folder(folder: Path) -> bool:
    """Whether a folder is laid out like BEIR's."""
    return _file(folder, "corpus.jsonl").is_file()


def load_retrieval_data(folder: Path, split: str = "test") -> RetrievalData:
    """Read and check a collection; queries without a relevant document are left out, counted and logged.

    Raises:
        DataError: a file or key that is not there, an id that occurs twice or is not known, or a grade that is not a
            whole number; names file and line.
    """
    documents = _read_texts(_file(folder, "corpus.jsonl"), ("title", "text"))
    queries = _read_texts(_file(folder, "queries.jsonl"), ("text",))
    path = _file(folder / "qrels", f"{split}.tsv")
    gains = _read_judgements(path, queries)
    relevant = {query: grades for query, grades in gains.items() if grades}
    if not relevant:
        raise DataError(f"{path}: no query has a document with a score above 0; name the judgements of this corpus")
    if len(relevant) < len(gains):
        logger.warning("%s: left out %d queries without a relevant document", path, len(gains) - len(relevant))
    absent = sum(document not in documents for grades in relevant.values() for document in grades)
    if absent:
        logger.warning("%s: %d relevant documents are not in the corpus; they count as not found", path, absent)
    return RetrievalData(
        folder.name,
        list(documents),
        list(documents.values()),
        list(relevant),
        [queries[query] for query in relevant],
        list(relevant.values()),
    )


def _file(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name


def _read_texts(path: Path, keys: tuple[str, ...]) -> dict[str, str]:
    """Texts by id; the last of `keys` has to be there."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/test.tsv")
    texts: dict[str, str] = {}
    blank = 0
    for where, record in read_rows(path, ("_id", keys[-1])):
        name = _id(record, "_id", where)
        if name in texts:
            raise DataError(f"{where}: _id {name!r} occurred before; give each text its own")
        parts = [record.get(key) for key in keys]
        for key, part in zip(keys, parts, strict=True):
            if part is not None and not isinstance(part, str):
                raise DataError(f"{where}, key {key!r}: expected text, got {type(part).__name__}; convert it to text")
        texts[name] = " ".join(part.strip() for part in parts if part and part.strip())
        blank += not texts[name]
    if blank:
        logger.warning("%s: %d texts are empty; they stay where they are", path, blank)
    return texts


def _read_judgements(path: Path, queries: dict[str, str]) -> dict[str, dict[str, int]]:
    """Grades above 0 by query and document; a query whose grades are all 0 has an empty one."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/test.tsv")
    gains: dict[str, dict[str, int]] = {}
    seen = set()
    for where, record in read_rows(path, ("query-id", "corpus-id", "score")):
        query, document = _id(record, "query-id", where), _id(record, "corpus-id", where)
        if query not in queries:
            raise DataError(f"{where}: query-id {query!r} is not in queries.jsonl; name the judgements of this corpus")
        if (query, document) in seen:
            raise DataError(f"{where}: query {query!r} and document {document!r} were judged before; keep one line")
        seen.add((query, document))
        try:
            grade = int(record["score"])
        except (TypeError, ValueError):
            raise DataError(f"{where}, column 'score': {record['score']!r} is not a whole number") from None
        own = gains.setdefault(query, {})
        if grade > 0:
            own[document] = grade
    return gains


def _id(record: dict[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str | int) or value == "":
        raise DataError(f"{where}, {key!r}: {value!r} is no id; give it a text or a number")
    return str(value)
