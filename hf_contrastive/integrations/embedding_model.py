"""What the loss asks of a `SentenceTransformer`, in its versions 5.3 to 6."""

import importlib
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from hf_contrastive.errors import RecipeError

_UNBOUNDED = 1_000_000  # tokenisers without a limit report one of 1e30


def embed_columns(model: nn.Module, columns: list[dict[str, Any]]) -> list[Tensor]:
    """Embeddings [B, D] of each column, in as few forward passes as their own losses make in this version."""
    try:
        embed: Callable[..., list[Tensor]] = importlib.import_module(
            "sentence_transformers.base.losses.merged_forward"
        ).embed_columns
    except ImportError:
        return [model(features)["sentence_embedding"] for features in columns]
    return embed(model, columns)


def embedding_size(model: Any) -> int | None:
    """Width of what the model's forward pass gives, which `truncate_dim` does not cut."""
    method = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    cut, model.truncate_dim = model.truncate_dim, None
    try:
        return method()
    finally:
        model.truncate_dim = cut


def longest_sentence(model: Any, max_length: int | None) -> int:
    """Tokens a row of the bank: all that the model is given."""
    longest = model.max_seq_length
    longest = longest if longest is not None and longest < _UNBOUNDED else None
    if max_length is None and longest is None:
        raise RecipeError("max_length: the model has no max_seq_length; set it, or say max_length here")
    if max_length is not None and longest is not None and max_length < longest:
        raise RecipeError(
            f"max_length: sentences have up to {longest} tokens, of which a bank would keep {max_length}; set "
            f"model.max_seq_length = {max_length} too"
        )
    return int(max_length if max_length is not None else longest)  # type: ignore[arg-type]


def pad_id(model: Any) -> int:
    """The token that fills rows up; any will do where the tokeniser has none, since the mask hides it."""
    token = getattr(model.tokenizer, "pad_token_id", None)
    return token if token is not None else 0
