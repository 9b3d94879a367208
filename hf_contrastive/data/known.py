"""Pairs of sentences that are known to mean the same, so that neither is the other's negative."""

import logging

import torch

from hf_contrastive.data.columns import quoted, text_cell
from hf_contrastive.data.files import column_names, find_files, read_rows
from hf_contrastive.data.tokenization import sentence_key
from hf_contrastive.errors import DataError
from hf_contrastive.negatives import KnownPairs

logger = logging.getLogger(__name__)

PAIRS = (("anchor", "positive"), ("sent0", "sent1"))


def load_known_pairs(pattern: str) -> KnownPairs:
    """The pairs of a file, in both directions.

    Args:
        pattern: file or glob with columns `anchor, positive` or `sent0, sent1`; others are not looked at.

    Raises:
        DataError: the file is not there, has no such columns, or has an empty cell.
    """
    paths = find_files(pattern)
    present = column_names(paths[0])
    columns = next((pair for pair in PAIRS if set(pair) <= set(present)), None)
    if columns is None:
        raise DataError(
            f"{paths[0]}: known positives are pairs, columns anchor and positive (or sent0 and sent1); "
            f"the columns are {quoted(present)}"
        )
    keys: list[tuple[int, int]] = []
    for path in paths:
        for where, record in read_rows(path, columns):
            first, second = (sentence_key(text_cell(record, column, where)) for column in columns)
            keys.append((first, second))
    logger.info("%s: %s pairs are known to be positive", pattern, f"{len(keys):,}")
    both = torch.tensor(keys + [(second, first) for first, second in keys], dtype=torch.long).reshape(-1, 2)
    return KnownPairs(both[:, 0], both[:, 1])
