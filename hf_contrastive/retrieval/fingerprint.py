"""What decides the vectors of a model, in one line: another line, other vectors."""

import json
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from xxhash import xxh3_64

from hf_contrastive.models import SentenceEncoder

# Of a configuration: what says where it came from, not what it computes.
_ORIGIN = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def model_fingerprint(encoder: SentenceEncoder) -> str:
    """Class and a hash of weights, configuration and tokeniser: the same for a copy of the model elsewhere."""
    digest = xxh3_64()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    config = {key: value for key, value in encoder.config.to_diff_dict().items() if key not in _ORIGIN}
    digest.update(json.dumps([config, _tokenizer_state(encoder.tokenizer)], sort_keys=True, default=str).encode())
    return f"{type(encoder.backbone).__name__} {digest.hexdigest()}"


def _tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> Any:
    if not tokenizer.is_fast:
        return [type(tokenizer).__name__, tokenizer.get_vocab(), tokenizer.init_kwargs]
    # A fast tokeniser carries the truncation and padding of its last call.
    return json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
