"""Loading the Transformers model that is trained: any encoder, a T5 encoder, or a decoder."""

import inspect
import logging
from typing import Any

import torch
from tokenizers import normalizers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING, MODEL_MAPPING

from hf_contrastive.errors import CheckpointError
from hf_contrastive.models.lora import adapter_config, with_adapter

logger = logging.getLogger(__name__)

# What the families call their dropout rates (BERT, RoBERTa; DistilBERT; T5; ModernBERT; Llama, Qwen).
DROPOUT_FIELDS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "dropout_rate",
    "embedding_dropout",
    "mlp_dropout",
)


def load_backbone(
    name_or_path: str,
    *,
    revision: str = "main",
    dropout: float | None = None,
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    dtype: torch.dtype = torch.float32,
) -> PreTrainedModel:
    """The bare model of a checkpoint, in float32 and without an unused pooling layer.

    Args:
        name_or_path: folder or Hub name.
        dropout: rate to put in place of every dropout rate the configuration has.
        dtype: weights are converted to it; training wants float32 also where the file holds bfloat16.

    Raises:
        CheckpointError: nothing there that Transformers can load, or no dropout rate to set.
    """
    try:
        config = AutoConfig.from_pretrained(name_or_path, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        adapter = adapter_config(name_or_path, revision)
        if adapter is not None:
            backbone = load_backbone(
                adapter["base_model_name_or_path"],
                revision=adapter.get("revision") or "main",
                dropout=dropout,
                dtype=dtype,
                attn_implementation=attn_implementation,
                trust_remote_code=trust_remote_code,
            )
            return with_adapter(backbone, name_or_path, revision)
        raise CheckpointError(
            f"{name_or_path}: no checkpoint that Transformers can load; give a folder with config.json, tokenizer and "
            f"model.safetensors, or a Hub name ({str(error).splitlines()[0]})"
        ) from error
    if dropout is not None:
        fields = [name for name in DROPOUT_FIELDS if hasattr(config, name)]
        if not fields:
            raise CheckpointError(f"dropout: a {config.model_type} configuration has no dropout rate to set")
        for name in fields:
            setattr(config, name, dropout)
    options: dict[str, Any] = {"config": config, "dtype": dtype, "trust_remote_code": trust_remote_code}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    # An unused pooling layer would have no gradient, which DDP with activation checkpointing does not survive.
    model_class = MODEL_MAPPING.get(type(config), None)
    if inspect.isclass(model_class) and "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        options["add_pooling_layer"] = False
    # A saved T5 encoder no longer says that it was cut from an encoder-decoder; the class for its type still does.
    encoder_class = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    is_encoder_part = encoder_class is not None and encoder_class is not model_class
    auto = AutoModelForTextEncoding if config.is_encoder_decoder or is_encoder_part else AutoModel
    try:
        return auto.from_pretrained(name_or_path, revision=revision, **options)
    except OSError as error:
        raise CheckpointError(
            f"{name_or_path}: there is a config.json, but no weights that Transformers can load; model.safetensors is "
            f"missing or broken ({str(error).splitlines()[0]})"
        ) from error


def load_tokenizer(
    name_or_path: str, *, revision: str = "main", trust_remote_code: bool = False, lower_case: bool = False
) -> Any:
    """The checkpoint's tokeniser, padding right; without a padding token it pads with its end-of-text token.

    Args:
        name_or_path: folder or Hub name.
        lower_case: lower-case text first, whatever the tokeniser itself does.

    Raises:
        CheckpointError: a package is missing, there is no token to pad with, or lower case was asked of a tokeniser
            in Python.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name_or_path, revision=revision, trust_remote_code=trust_remote_code
        )
    except ImportError as error:
        raise CheckpointError(
            f"{name_or_path}: its tokeniser needs a package that is not installed ({' '.join(str(error).split())}); "
            "for Japanese ones with MeCab: pip install fugashi unidic-lite"
        ) from error
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise CheckpointError(
                f"{name_or_path}: the tokeniser has no padding and no end-of-text token; give it a pad_token"
            )
        tokenizer.pad_token = tokenizer.eos_token
        logger.info("%s: no padding token, padding with %r", name_or_path, tokenizer.eos_token)
    if lower_case:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise CheckpointError(
                f"{name_or_path}: sentence_bert_config.json has do_lower_case, which a tokeniser in Python cannot be "
                "given; load the model in sentence-transformers"
            )
        own = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer
