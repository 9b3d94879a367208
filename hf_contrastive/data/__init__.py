"""What is trained on: reading, checking, tokenising and collating."""

from hf_contrastive.data.collators import (
    DropoutPositiveCollator,
    NLITripletCollator,
    PairCollator,
    collator_for,
)
from hf_contrastive.data.columns import Columns, choose_columns, text_cell
from hf_contrastive.data.files import column_names, find_files, read_rows
from hf_contrastive.data.known import load_known_pairs
from hf_contrastive.data.loading import canonical_dataset, check_enough_rows, load_training_data
from hf_contrastive.data.tokenization import TokenizationReport, sentence_key, tokenize_dataset

__all__ = [
    "Columns",
    "DropoutPositiveCollator",
    "NLITripletCollator",
    "PairCollator",
    "TokenizationReport",
    "canonical_dataset",
    "check_enough_rows",
    "choose_columns",
    "collator_for",
    "column_names",
    "find_files",
    "load_known_pairs",
    "load_training_data",
    "read_rows",
    "sentence_key",
    "text_cell",
    "tokenize_dataset",
]
