"""Retrieval: nDCG@10, MRR@10 and recall of the documents nearest to a query by cosine.

Per query, with gain g_r of the document at rank r (its grade, 0 where it is not relevant):

    nDCG@k = sum_{r<=k} g_r / log2(r + 1), over the same sum for the best order there is
    MRR@k  = 1 / rank of the first relevant document, 0 where it is beyond k
    recall@k = relevant documents up to rank k, over all relevant documents

as trec_eval computes them (Jarvelin and Kekalainen, 2002; the grade itself is the gain). Of equal scores the later id
ranks first, as there and in mteb.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hf_contrastive.arguments import RETRIEVAL_INDEXES, one_of
from hf_contrastive.evaluation.encoding import Encode, EncodedSentences
from hf_contrastive.evaluation.retrieval_data import RetrievalData, load_retrieval_data
from hf_contrastive.retrieval.index import NeighbourIndex, load_faiss, train_centroids

DEPTH = 100  # documents a query
RECALL_AT = (1, 5, 10, 100)
_NPROBE, _EF_SEARCH = 32, 128
_QUERIES, _DOCUMENTS = 256, 65_536  # scores that are in memory at a time


@dataclass(frozen=True)
class RetrievalScore:
    """Means over the queries of one collection, in [0, 1].

    Args:
        ndcg_at_10: with graded gains.
        mrr_at_10: of the first relevant document.
        recall: by depth.
        queries: that have a relevant document.
        documents: of the corpus.
    """

    ndcg_at_10: float
    mrr_at_10: float
    recall: dict[str, float]
    queries: int
    documents: int


@dataclass(frozen=True)
class RetrievalResult:
    """Scores by collection, and how was searched."""

    scores: dict[str, RetrievalScore]
    index: str

    @property
    def average(self) -> float:
        """Mean of the collections' nDCG@10."""
        return float(np.mean([score.ndcg_at_10 for score in self.scores.values()]))


def evaluate_retrieval(
    encode: Encode, folders: Mapping[str, Path], index: str = "exact", progress: bool = True
) -> RetrievalResult:
    """Measure an encoder on collections in BEIR's layout.

    Args:
        encode: N texts to float32 [N, D] on the CPU; called with each distinct text of a collection once.
        folders: by name.
        index: `exact`, or an index of FAISS: `flat` (exact too), `ivf`, `hnsw`.
        progress: show bars.

    Raises:
        DataError: a collection that cannot be used; before anything is encoded.
        RecipeError: an index that is not known, or FAISS is not installed.
    """
    one_of("retrieval_index", index, RETRIEVAL_INDEXES)
    if index != "exact":
        load_faiss()
    collections = {name: load_retrieval_data(folder) for name, folder in folders.items()}
    scores = {}
    for name, data in collections.items():
        encoded = EncodedSentences(encode, [*data.queries, *data.documents], progress)
        queries, documents = (
            torch.nn.functional.normalize(encoded[texts], dim=-1) for texts in (data.queries, data.documents)
        )
        scores[name] = score_ranking(data, *search_documents(queries, documents, DEPTH, index, progress))
    return RetrievalResult(scores, index)


def search_documents(
    queries: Tensor, documents: Tensor, depth: int, index: str = "exact", progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest documents.

    Args:
        queries: unit vectors [Q, D].
        documents: unit vectors [C, D].
        depth: F, at most C are found.

    Returns:
        rows int64 [Q, F] and cosines [Q, F]; -1 where an index found fewer.
    """
    depth = min(depth, len(documents))
    if index != "exact":
        vectors = documents.numpy()
        rows = np.arange(len(vectors))
        centroids = train_centroids(vectors.__getitem__, rows, progress) if index == "ivf" else None
        built = NeighbourIndex(vectors.__getitem__, rows, centroids, progress, graph=index == "hnsw")
        return built.search(queries.numpy(), depth, _NPROBE, _EF_SEARCH)
    found = [_nearest(block, documents, depth) for block in queries.split(_QUERIES)]
    return torch.cat([rows for rows, _ in found]).numpy(), torch.cat([scores for _, scores in found]).numpy()


def _nearest(queries: Tensor, documents: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    rows = torch.empty(len(queries), 0, dtype=torch.long)
    scores = torch.empty(len(queries), 0)
    for start in range(0, len(documents), _DOCUMENTS):
        block = documents[start : start + _DOCUMENTS]
        top, places = (queries @ block.T).topk(min(depth, len(block)))
        scores, rows = torch.cat([scores, top], 1), torch.cat([rows, places + start], 1)
        scores, kept = scores.topk(min(depth, scores.shape[1]))
        rows = rows.gather(1, kept)
    return rows, scores


def score_ranking(data: RetrievalData, rows: np.ndarray, scores: np.ndarray) -> RetrievalScore:
    """Metrics of what was found.

    Args:
        rows: [Q, F], documents; -1 for none.
        scores: [Q, F], in any order.
    """
    place = {name: number for number, name in enumerate(sorted(data.document_ids))}
    id_order = np.array([place[name] for name in data.document_ids])
    ndcg: list[float] = []
    mrr: list[float] = []
    recall: dict[int, list[float]] = {k: [] for k in RECALL_AT}
    for gains, own, values in zip(data.gains, rows, scores, strict=True):
        there = own >= 0
        own, values = own[there], values[there]
        ranked = own[np.lexsort((-id_order[own], -values))]
        found = np.array([gains.get(data.document_ids[row], 0) for row in ranked], dtype=np.float64)
        best = np.array(sorted(gains.values(), reverse=True), dtype=np.float64)
        ndcg.append(_dcg(found[:10]) / _dcg(best[:10]))
        hits = np.flatnonzero(found[:10])
        mrr.append(1 / (hits[0] + 1) if len(hits) else 0.0)
        for k in RECALL_AT:
            recall[k].append(np.count_nonzero(found[:k]) / len(gains))
    return RetrievalScore(
        ndcg_at_10=_mean(ndcg),
        mrr_at_10=_mean(mrr),
        recall={str(k): _mean(values) for k, values in recall.items()},
        queries=len(data.queries),
        documents=len(data.documents),
    )


def _dcg(gains: np.ndarray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
