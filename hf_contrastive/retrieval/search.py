"""`hf-contrastive search`: the texts nearest to a query, out of an index over encoded texts."""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hf_contrastive.data import load_passages
from hf_contrastive.errors import RecipeError
from hf_contrastive.files import write_json
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.retrieval.fingerprint import model_fingerprint
from hf_contrastive.retrieval.index import NeighbourIndex, load_faiss, resolve_index, train_centroids
from hf_contrastive.retrieval.settings import SearchSettings
from hf_contrastive.retrieval.stored import TextVectors, encode_rows, encode_texts, open_vectors
from hf_contrastive.retrieval.vectors import load_encoder, processes
from hf_contrastive.retrieval.work import check_writable, refuse_differences

logger = logging.getLogger(__name__)

NPROBE, EF_SEARCH = 32, 128


class Searcher:
    """An index over texts, and the model that encodes queries like them.

    Args:
        settings: checked.

    Raises:
        ContrastiveError: corpus, queries or model that cannot be used or do not fit each other; before anything is
            encoded.
    """

    def __init__(self, settings: SearchSettings) -> None:
        load_faiss()
        if settings.output is not None:
            check_writable(settings.output)
        self.settings = settings
        corpus = open_vectors(settings.corpus)
        queries = None if settings.queries is None else open_vectors(settings.queries)
        _refuse_idle_options(settings, corpus, queries)
        texts = None if corpus else load_passages(settings.corpus, settings.columns, settings.id_column)
        asked = None
        if settings.queries is not None and queries is None:
            asked = load_passages(settings.queries, settings.query_columns, settings.query_id_column)
        self.encoder = None if corpus and queries else _encoder(settings, corpus or queries)
        self._check_fit(corpus, queries)
        if corpus is None:
            assert self.encoder is not None and texts is not None
            corpus = encode_texts(self.encoder, texts, settings.corpus, settings.batch_tokens, settings.bf16)
        if asked is not None:
            assert self.encoder is not None
            queries = encode_texts(self.encoder, asked, str(settings.queries), settings.batch_tokens, settings.bf16)
        self.corpus = corpus
        self.queries = queries
        self.index = open_index(corpus, resolve_index(settings.index, corpus.count))

    def nearest(self, vectors: np.ndarray) -> Iterator[list[tuple[int, float]]]:
        """Rows of the corpus and their cosines, nearest first, for each of B unit vectors [B, D]."""
        found = self.index.search(
            vectors,
            min(self.settings.k, self.corpus.count),
            self.settings.nprobe or NPROBE,
            self.settings.ef_search or EF_SEARCH,
        )
        for rows, scores in zip(*found, strict=True):
            yield [(int(row), round(float(score), 6)) for row, score in zip(rows, scores, strict=True) if row >= 0]

    def ask(self, query: str) -> list[tuple[int, float]]:
        """What is nearest to one text."""
        assert self.encoder is not None
        vectors = encode_rows(self.encoder, [query], self.settings.batch_tokens, self.settings.bf16)
        return next(self.nearest(vectors))

    def _check_fit(self, corpus: TextVectors | None, queries: TextVectors | None) -> None:
        known = [vectors for vectors in (corpus, queries) if vectors is not None]
        made = [{key: vectors.made[key] for key in ("model", "pooler")} for vectors in known if vectors.made]
        if len(made) == 2:
            refuse_differences(
                Path(known[0].name), made[0], made[1], remedy="encode corpus and queries with one model"
            )
        width = known[0].width if self.encoder is None else self.encoder.width
        for vectors in known:
            if vectors.width != width:
                raise RecipeError(
                    f"{vectors.name}: vectors of {vectors.width} numbers, where "
                    f"{'the corpus' if self.encoder is None else 'the model'} has {width}; use one model for both"
                )


def open_index(corpus: TextVectors, kind: str) -> NeighbourIndex:
    """Build an index, or read the one that an earlier search over the same file left beside it.

    Args:
        kind: `flat`, `ivf` or `hnsw`; flat ones are built anew, which takes no longer than reading.

    Where it cannot be written, a warning says so and it stays in memory.
    """
    rows = np.arange(corpus.count)
    if corpus.file is None or kind == "flat":
        return _build(corpus, rows, kind)
    path = corpus.file.with_name(f"{corpus.file.name}.{kind}.faiss")
    note = path.with_name(path.name + ".json")
    stat = corpus.file.stat()
    stamp = {"kind": kind, "bytes": stat.st_size, "changed_ns": stat.st_mtime_ns}
    if path.is_file() and note.is_file() and note.read_text(encoding="utf-8") == json.dumps(stamp, indent=2) + "\n":
        logger.info("%s: read", path)
        return NeighbourIndex(corpus.look_up, rows, graph=kind == "hnsw", stored=path)
    index = _build(corpus, rows, kind)
    try:
        note.unlink(missing_ok=True)  # killed between the two, a new index must not go by an old note
        index.save(path)
        write_json(note, stamp)
    except (OSError, RuntimeError) as error:  # FAISS knows the second alone
        with suppress(OSError):
            path.with_name(f"{path.name}.partial").unlink(missing_ok=True)
        logger.warning("%s: cannot be kept, so the next search builds it anew (%s)", path, error)
    else:
        logger.info("%s: kept for the next search; delete it when done", path)
    return index


def _build(corpus: TextVectors, rows: np.ndarray, kind: str) -> NeighbourIndex:
    centroids = train_centroids(corpus.look_up, rows, progress=True) if kind == "ivf" else None
    return NeighbourIndex(corpus.look_up, rows, centroids, progress=True, graph=kind == "hnsw")


def _encoder(settings: SearchSettings, stored: TextVectors | None) -> SentenceEncoder:
    """The model that is named, else the one the vectors are from; `RecipeError` where they are another's."""
    own = stored.revision if stored and settings.model is None else None
    made: dict[str, Any] = (stored.made if stored else None) or {}
    model = settings.model or (stored.model if stored else None)
    if model is None:
        raise RecipeError("model: not given, and nothing says which model the vectors are from; give --model")
    encoder = load_encoder(
        model,
        settings.pooler or made.get("pooler"),
        settings.max_length or made.get("max_length"),
        settings.revision or own or "main",
        settings.device,
        processes(settings.device),
    )
    if stored is not None and made:
        old = {key: made[key] for key in ("model", "pooler")}
        new = {"model": model_fingerprint(encoder), "pooler": encoder.eval_pooler}
        refuse_differences(Path(stored.name), old, new, "name the model that encoded it, or encode it anew")
    return encoder


def _refuse_idle_options(settings: SearchSettings, corpus: TextVectors | None, queries: TextVectors | None) -> None:
    """Options that would change nothing are mistakes."""
    idle = []
    if corpus is not None:
        idle += [(key, f"{settings.corpus} is encoded already") for key in ("columns", "id_column")]
    if queries is not None:
        idle += [(key, f"{settings.queries} is encoded already") for key in ("query_columns", "query_id_column")]
    if corpus is not None and queries is not None:
        keys = ("model", "pooler", "max_length", "batch_tokens", "bf16")
        idle += [(key, "corpus and queries are encoded already") for key in keys]
    for key, reason in idle:
        if getattr(settings, key):
            raise RecipeError(f"{key}: {reason}; leave it out")
