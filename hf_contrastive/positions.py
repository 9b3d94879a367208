"""How long a text a transformer can take."""

import sys
from typing import Any

from torch import nn


def positions_of(model: nn.Module, tokenizer: Any) -> int:
    """Tokens that a model has positions for, and that its tokeniser says it was made for; `sys.maxsize` without end.

    RoBERTa and its kin count positions from behind that of the padding token, so two of theirs are never used.
    """
    limit: int = getattr(model.config, "max_position_embeddings", None) or sys.maxsize
    for name, module in model.named_modules():
        is_table = name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
        if is_table and module.padding_idx is not None:
            limit = min(limit, module.num_embeddings - module.padding_idx - 1)
    return min(limit, tokenizer.model_max_length)
