"""How long a text a transformer can take."""

import sys
from typing import Any

from torch import nn

_BARE = 128  # tokens of a checkpoint that was not made to encode sentences
_ENDLESS = 8192  # tokens where neither model nor tokeniser has an end, as T5


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


def default_length(model: nn.Module, tokenizer: Any, is_bare: bool) -> int:
    """Tokens of a text that is not cut, where nothing names a length: 128 of a bare checkpoint, else all positions."""
    return min(tokenizer.model_max_length, _BARE) if is_bare else min(positions_of(model, tokenizer), _ENDLESS)
