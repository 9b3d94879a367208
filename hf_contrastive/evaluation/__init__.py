"""How it is measured: STS, transfer, retrieval and geometry of functions from sentences to vectors; word vectors."""

from hf_contrastive.evaluation.analogies import AnalogyResult, AnalogyScore, evaluate_analogies
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.evaluation.geometry import (
    alignment,
    cosine,
    effective_rank,
    mean_cosine,
    singular_values,
    spearman,
    uniformity,
)
from hf_contrastive.evaluation.hypernymy import HypernymyResult, KindScore, evaluate_hypernymy
from hf_contrastive.evaluation.link_prediction import (
    LinkPredictionResult,
    RankMetrics,
    SideMetrics,
    evaluate_link_prediction,
)
from hf_contrastive.evaluation.metrics import metric_path
from hf_contrastive.evaluation.mteb_tasks import MTEBResult, MTEBScore, evaluate_mteb, load_mteb_tasks, mteb_revision
from hf_contrastive.evaluation.neighbours import neighbours_table
from hf_contrastive.evaluation.pairs import ScoredPairs, load_sts_pairs
from hf_contrastive.evaluation.report import EvaluationResults, print_table, save_json
from hf_contrastive.evaluation.retrieval import RetrievalResult, RetrievalScore, evaluate_retrieval
from hf_contrastive.evaluation.retrieval_data import RetrievalData, load_retrieval_data
from hf_contrastive.evaluation.sources import (
    resolve_dev_source,
    resolve_retrieval_folders,
    resolve_sts_source,
    resolve_transfer_folder,
)
from hf_contrastive.evaluation.sts import STS_TASKS, STSResult, STSScore, evaluate_pairs, evaluate_sts
from hf_contrastive.evaluation.transfer import TransferResult, TransferScore, evaluate_transfer
from hf_contrastive.evaluation.transfer_data import TRANSFER_TASKS
from hf_contrastive.evaluation.word_similarity import (
    WORD_SIMILARITY_TASKS,
    WordSimilarity,
    WordSimilarityResult,
    WordSimilarityScore,
    evaluate_word_similarity,
    similarity_table,
)

__all__ = [
    "STS_TASKS",
    "TRANSFER_TASKS",
    "WORD_SIMILARITY_TASKS",
    "AnalogyResult",
    "AnalogyScore",
    "EvaluationResults",
    "HypernymyResult",
    "KindScore",
    "MTEBResult",
    "MTEBScore",
    "LinkPredictionResult",
    "RankMetrics",
    "RetrievalData",
    "RetrievalResult",
    "RetrievalScore",
    "STSResult",
    "STSScore",
    "ScoredPairs",
    "SideMetrics",
    "TransferResult",
    "TransferScore",
    "WordSimilarity",
    "WordSimilarityResult",
    "WordSimilarityScore",
    "alignment",
    "cosine",
    "effective_rank",
    "environment",
    "evaluate_analogies",
    "evaluate_hypernymy",
    "evaluate_link_prediction",
    "evaluate_mteb",
    "evaluate_pairs",
    "evaluate_retrieval",
    "evaluate_sts",
    "evaluate_transfer",
    "evaluate_word_similarity",
    "load_mteb_tasks",
    "load_retrieval_data",
    "load_sts_pairs",
    "mean_cosine",
    "metric_path",
    "mteb_revision",
    "neighbours_table",
    "print_table",
    "resolve_dev_source",
    "resolve_retrieval_folders",
    "resolve_sts_source",
    "resolve_transfer_folder",
    "save_json",
    "similarity_table",
    "singular_values",
    "spearman",
    "uniformity",
]
