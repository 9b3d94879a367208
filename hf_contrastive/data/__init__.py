"""What is trained on: reading, checking, tokenising and collating."""

from hf_contrastive.data.augmented import AugmentedPositiveCollator, check_augments, rows_to_augment
from hf_contrastive.data.collators import (
    DropoutPositiveCollator,
    LabelledPairCollator,
    NLITripletCollator,
    PairCollator,
    collator_for,
)
from hf_contrastive.data.columns import Columns, choose_columns, text_cell
from hf_contrastive.data.cooccurrence import known_cooccurrences
from hf_contrastive.data.files import column_names, find_files, read_rows
from hf_contrastive.data.hierarchy import Hierarchy, load_hierarchy
from hf_contrastive.data.hierarchy_negatives import NEGATIVE_KINDS
from hf_contrastive.data.known import load_known_pairs
from hf_contrastive.data.labels import NLI_LABELS, check_labels, label_names
from hf_contrastive.data.loading import canonical_dataset, check_enough_rows, load_training_data
from hf_contrastive.data.passages import load_passages
from hf_contrastive.data.tokenization import TokenizationReport, sentence_key, tokenize_dataset
from hf_contrastive.data.triples import (
    KnowledgeGraph,
    KnownTails,
    Triples,
    add_reciprocal,
    load_knowledge_graph,
    relation_categories,
)
from hf_contrastive.data.vocabulary import Vocabulary
from hf_contrastive.data.word_corpus import WordCorpus, load_word_corpus
from hf_contrastive.data.word_tokenizers import WordTokenizer, register_word_tokenizer, word_tokenizer

__all__ = [
    "NEGATIVE_KINDS",
    "NLI_LABELS",
    "AugmentedPositiveCollator",
    "Columns",
    "DropoutPositiveCollator",
    "Hierarchy",
    "KnowledgeGraph",
    "KnownTails",
    "LabelledPairCollator",
    "NLITripletCollator",
    "PairCollator",
    "TokenizationReport",
    "Triples",
    "Vocabulary",
    "WordCorpus",
    "WordTokenizer",
    "add_reciprocal",
    "canonical_dataset",
    "check_augments",
    "check_enough_rows",
    "check_labels",
    "choose_columns",
    "collator_for",
    "column_names",
    "find_files",
    "known_cooccurrences",
    "label_names",
    "load_hierarchy",
    "load_knowledge_graph",
    "load_known_pairs",
    "load_passages",
    "load_training_data",
    "load_word_corpus",
    "read_rows",
    "register_word_tokenizer",
    "relation_categories",
    "rows_to_augment",
    "sentence_key",
    "text_cell",
    "tokenize_dataset",
    "word_tokenizer",
]
