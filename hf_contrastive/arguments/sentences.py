"""What a recipe for sentences can say: four plain dataclasses and one extension of `TrainingArguments`.

Every field here is a key of the YAML recipe and a `--key` of the command line; nothing else is accepted.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments

from hf_contrastive.arguments.common import SamplerArguments, one_of, parse_structure
from hf_contrastive.errors import RecipeError

logger = logging.getLogger(__name__)

POOLERS = ("cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last", "last")
HEADS = ("none", "train_only", "kept")
SOFTMAX_CLASSIFIER = "softmax_classifier"
OBJECTIVES = ("infonce", "sampled_softmax", "negative_sampling", "nce", "triplet", "order", SOFTMAX_CLASSIFIER)
EVALUATION_TASKS = ("sts", "transfer", "retrieval")
RETRIEVAL_INDEXES = ("exact", "flat", "ivf", "hnsw")


@dataclass
class ModelArguments:
    """What is trained."""

    model_name_or_path: str = field(metadata={"help": "Checkpoint folder or Hub name of any AutoModel encoder."})
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit on the Hub."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Run model code from the Hub. Off by default."})
    attn_implementation: str | None = field(default=None, metadata={"help": "eager, sdpa, flash_attention_2, ..."})
    pooler: str = field(default="cls", metadata={"help": f"How tokens become a sentence: {', '.join(POOLERS)}."})
    head: str = field(
        default="none",
        metadata={"help": "MLP (linear + tanh) on the pooled vector: none, train_only (dropped at test), kept."},
    )
    dropout: float | None = field(
        default=None, metadata={"help": "Dropout rate of hidden states and attention; default: the checkpoint's own."}
    )
    fast_dropout: bool = field(
        default=True, metadata={"help": "On CPU draw dropout masks from 16-bit random numbers, several times faster."}
    )
    lora_r: int = field(default=0, metadata={"help": "Rank of LoRA adapters; 0 trains the whole model."})
    lora_alpha: int = field(default=16, metadata={"help": "LoRA scaling."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout on the input of the LoRA adapters."})
    lora_target_modules: list[str] | None = field(
        default=None, metadata={"help": "Names of the linear layers LoRA adapts; default: peft's for this model type."}
    )

    def __post_init__(self) -> None:
        one_of("pooler", self.pooler, POOLERS)
        one_of("head", self.head, HEADS)
        if self.pooler == "cls_before_pooler" and self.head != "none":
            raise RecipeError(
                "head: pooler cls_before_pooler takes the [CLS] vector before any head; "
                "use pooler: cls with a head, or head: none"
            )
        if self.dropout is not None and not 0.0 <= self.dropout < 1.0:
            raise RecipeError(f"dropout: must be in [0, 1), got {self.dropout}")
        if self.lora_r < 0:
            raise RecipeError(f"lora_r: must be 0 (off) or positive, got {self.lora_r}")


@dataclass
class DataArguments:
    """What it is trained on."""

    train_data: str = field(metadata={"help": "A file, a glob, or a Hub dataset name. See docs/data.md for formats."})
    train_data_name: str | None = field(default=None, metadata={"help": "Configuration of a Hub dataset."})
    train_data_files: str | None = field(default=None, metadata={"help": "File inside a Hub dataset repository."})
    train_split: str = field(default="train", metadata={"help": "Split of a Hub dataset."})
    columns: str | None = field(
        default=None,
        metadata={
            "help": "{anchor: COLUMN, positive: COLUMN, negatives: [COLUMN, ...]}; positive left out: dropout pairs. "
            "For objective softmax_classifier {sentence1: COLUMN, sentence2: COLUMN, label: COLUMN}."
        },
    )
    labels: list[str] | None = field(
        default=None,
        metadata={"help": "Classes of the label column; default: the Hub's, or entailment, neutral, contradiction."},
    )
    augmentation: str | None = field(
        default=None,
        metadata={
            "help": "How the positive is made of a sentence: a name, or a mapping {name: ..., option: ...}; default: "
            "by dropout alone. `hf-contrastive augmentations` lists what is registered."
        },
    )
    streaming: bool = field(default=False, metadata={"help": "Read rows as they are needed; needs max_steps."})
    max_train_rows: int | None = field(default=None, metadata={"help": "Use only the first N rows."})
    max_length: int = field(default=32, metadata={"help": "Tokens a sentence, special tokens included."})
    preprocessing_workers: int | None = field(default=None, metadata={"help": "Processes that tokenise."})

    def __post_init__(self) -> None:
        mapping = _labelled_pairs(parse_structure("columns", self.columns))
        if self.labels is not None and len(set(self.labels)) != max(2, len(self.labels)):
            raise RecipeError(f"labels: must be at least 2 different names, got {', '.join(self.labels)}")
        if mapping is not None:
            if not isinstance(mapping, dict) or not set(mapping) <= {"anchor", "positive", "negatives", "label"}:
                raise RecipeError(
                    "columns: expected keys anchor, positive, negatives, or sentence1, sentence2, label; "
                    f"got {mapping!r}"
                )
            if "anchor" not in mapping:
                raise RecipeError("columns: anchor is missing; name the column that holds the sentences")
            negatives = mapping.get("negatives") or []
            mapping["negatives"] = [negatives] if isinstance(negatives, str) else list(negatives)
            if mapping["negatives"] and "positive" not in mapping:
                raise RecipeError("columns: negatives need a positive column beside them")
        self.column_mapping: dict[str, Any] | None = mapping
        config = parse_structure("augmentation", self.augmentation)
        if isinstance(config, str):
            config = {"name": config}
        if config is not None and (not isinstance(config, dict) or not isinstance(config.get("name"), str)):
            raise RecipeError(f"augmentation: {config!r} is not a name or a mapping with the key name")
        self.augmentation_config: dict[str, Any] | None = config
        if config is not None and self.streaming:
            raise RecipeError("augmentation: a stream's rows have no numbers to draw by; leave out streaming")
        if config is not None and mapping is not None and "positive" in mapping:
            raise RecipeError("augmentation: it makes the positives; leave positive out of columns")
        if self.max_length < 3:
            raise RecipeError(f"max_length: must be at least 3 tokens, got {self.max_length}")
        if self.max_train_rows is not None and self.max_train_rows < 1:
            raise RecipeError(f"max_train_rows: must be positive, got {self.max_train_rows}")


def _labelled_pairs(mapping: Any) -> Any:
    """Columns of labelled pairs under the names that other pairs have."""
    if not isinstance(mapping, dict) or "label" not in mapping:
        return mapping
    if set(mapping) != {"sentence1", "sentence2", "label"}:
        raise RecipeError(f"columns: pairs with a label have the keys sentence1, sentence2, label; got {mapping!r}")
    return {"anchor": mapping["sentence1"], "positive": mapping["sentence2"], "label": mapping["label"]}


@dataclass
class NegativesArguments(SamplerArguments):
    """Where the negatives of sentences come from."""

    gather_across_ranks: bool = field(
        default=True, metadata={"help": "In-batch negatives from all ranks, with exact gradients."}
    )
    mask_duplicates: bool = field(
        default=True, metadata={"help": "Never use a candidate whose text equals the anchor's or its positive's."}
    )
    bank_size: int = field(
        default=4096,
        metadata={"help": "Sentences of past steps, with their vectors, that samplers can draw from; where they do."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bank_size < 1:
            raise RecipeError(f"bank_size: must be positive, got {self.bank_size}")


@dataclass
class EvaluationArguments:
    """How it is measured, while it trains and at the end."""

    sts_data: str | None = field(
        default=None,
        metadata={"help": "Folder with STS12.tsv ... SICKR-test.tsv; default: HF_CONTRASTIVE_DATA/sts, else the Hub."},
    )
    transfer_data: str | None = field(
        default=None, metadata={"help": "Folder in SentEval's layout; default: HF_CONTRASTIVE_DATA/transfer."}
    )
    retrieval_data: str | None = field(
        default=None,
        metadata={"help": "Folder in BEIR's layout, or a folder of those; default: HF_CONTRASTIVE_DATA/retrieval."},
    )
    dev_data: str | None = field(
        default=None,
        metadata={"help": "Table with score, sentence1, sentence2 that chooses the checkpoint; default: STS-B dev."},
    )
    test_data: str | None = field(
        default=None, metadata={"help": "Table like dev_data that is measured before and after training."}
    )
    final_evaluation: list[str] = field(
        default_factory=list,
        metadata={"help": "What else is measured before and after training: sts, transfer, retrieval."},
    )
    baseline_pooler: str = field(default="avg", metadata={"help": "Pooler of the measurement before training."})
    eval_pooler: str | None = field(default=None, metadata={"help": "Pooler at test; default: the training pooler."})
    eval_max_length: int = field(default=128, metadata={"help": "Tokens a sentence when evaluating."})

    def __post_init__(self) -> None:
        if self.eval_pooler is not None:
            one_of("eval_pooler", self.eval_pooler, POOLERS)
        one_of("baseline_pooler", self.baseline_pooler, POOLERS)
        for task in self.final_evaluation:
            one_of("final_evaluation", task, EVALUATION_TASKS)


@dataclass
class ContrastiveTrainingArguments(TrainingArguments):
    """`TrainingArguments` with the contrastive objective and defaults that suit it.

    Differences from the defaults of `TrainingArguments`: columns are kept, the ragged last batch is dropped (it would
    be filled up with rows seen before, which are false negatives), and DDP neither looks for unused parameters nor
    broadcasts buffers.
    """

    remove_unused_columns: bool = field(default=False, metadata={"help": "Keep the token columns."})
    dataloader_drop_last: bool = field(default=True, metadata={"help": "Drop the ragged last batch."})
    ddp_find_unused_parameters: bool | None = field(default=False, metadata={"help": "Every parameter is used."})
    ddp_broadcast_buffers: bool | None = field(default=False, metadata={"help": "Ranks keep equal buffers anyway."})
    objective: str = field(default="infonce", metadata={"help": f"How negatives count: {', '.join(OBJECTIVES)}."})
    temperature: float = field(default=0.05, metadata={"help": "Similarities are cosines divided by it."})
    margin: float = field(default=0.2, metadata={"help": "Margin of objectives triplet and order, in cosines."})
    symmetric: bool = field(default=False, metadata={"help": "Average anchor -> positive with positive -> anchor."})
    two_encoders: bool = field(
        default=False,
        metadata={
            "help": "Train a second encoder, which encodes positives and negatives; the anchors' encoder is published."
        },
    )
    same_dropout_mask: bool = field(
        default=False,
        metadata={"help": "Give both views of a sentence the same dropout mask: SimCSE's control, which learns less."},
    )
    mlm_weight: float = field(default=0.0, metadata={"help": "Weight of the masked-language-model term; paper: 0.1."})
    mlm_probability: float = field(default=0.15, metadata={"help": "Share of tokens masked for that term."})
    head_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the new MLP head; default: learning_rate."}
    )
    encode_chunk_size: int | None = field(
        default=None, metadata={"help": "Sentences encoded at a time; chunks are sorted by length. Default: all."}
    )
    recompute_chunks: bool = field(
        default=True,
        metadata={"help": "Keep only the embeddings of a chunk and recompute it in the backward pass: less memory."},
    )

    def __post_init__(self) -> None:
        if (self.bf16 or self.bf16_full_eval) and not torch.accelerator.is_available():
            self.use_cpu = True  # TrainingArguments refuses bfloat16 without a GPU unless told so
        super().__post_init__()
        one_of("objective", self.objective, OBJECTIVES)
        if self.objective == SOFTMAX_CLASSIFIER:
            for key in ("temperature", "margin", "symmetric", "two_encoders", "same_dropout_mask", "mlm_weight"):
                if getattr(self, key) != type(self).__dataclass_fields__[key].default:
                    raise RecipeError(f"{key}: objective softmax_classifier contrasts nothing; leave {key} out")
        if not self.margin >= 0:
            raise RecipeError(f"margin: must not be negative, got {self.margin}")
        if not self.temperature > 0:
            raise RecipeError(f"temperature: must be greater than 0, got {self.temperature}; the paper uses 0.05")
        if self.mlm_weight < 0:
            raise RecipeError(f"mlm_weight: must not be negative, got {self.mlm_weight}")
        if not 0 < self.mlm_probability < 1:
            raise RecipeError(f"mlm_probability: must be between 0 and 1, got {self.mlm_probability}")
        if self.encode_chunk_size is not None and self.encode_chunk_size < 1:
            raise RecipeError(f"encode_chunk_size: must be positive, got {self.encode_chunk_size}")
        if self.n_gpu > 1:
            # DataParallel would split one process's batch and with it the in-batch negatives.
            logger.warning(
                "%d GPUs are visible to one process: using the first; start with `accelerate launch` to use all.",
                self.n_gpu,
            )  # noqa: E501
            self._n_gpu = 1
