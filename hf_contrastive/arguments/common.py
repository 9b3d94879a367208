"""What the recipes of all tasks share."""

from dataclasses import dataclass, field
from typing import Any

import yaml
from transformers import TrainingArguments

from hf_contrastive.errors import RecipeError

ROW_RULES = ("rmsprop", "adagrad", "adam")


def parse_structure(key: str, value: Any) -> Any:
    """A nested value: as YAML has read it from a recipe, or as YAML flow text (`{name: in_batch}`) from a shell."""
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"{key}: {value!r} is not YAML ({error})") from None


def one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise `RecipeError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise RecipeError(f"{key}: unknown {key} {value!r}; choose one of {', '.join(allowed)}")


@dataclass
class SamplerArguments:
    """Where the negatives come from, whatever is trained."""

    negatives: str | None = field(
        default="in_batch",
        metadata={
            "help": "A sampler by name, a mapping {name: ..., option: ...}, or a list of them whose pools are joined. "
            "`hf-contrastive samplers` lists what is registered."
        },
    )

    def __post_init__(self) -> None:
        parsed = parse_structure("negatives", self.negatives)
        entries = parsed if isinstance(parsed, list) else [parsed]
        self.sampler_configs: list[dict[str, Any]] = []
        for entry in entries:
            config = {"name": entry} if isinstance(entry, str) else entry
            if not isinstance(config, dict) or not isinstance(config.get("name"), str):
                raise RecipeError(f"negatives: {entry!r} is not a sampler name or a mapping with the key name")
            self.sampler_configs.append(config)


@dataclass
class TableTrainingArguments(TrainingArguments):
    """`TrainingArguments` for tables: sparse steps and nothing clipped."""

    remove_unused_columns: bool = field(default=False, metadata={"help": "Keep the columns."})
    max_grad_norm: float = field(default=0.0, metadata={"help": "Tables are not clipped; must be 0."})
    ddp_find_unused_parameters: bool | None = field(default=False, metadata={"help": "Every parameter is used."})
    ddp_broadcast_buffers: bool | None = field(default=False, metadata={"help": "Ranks make equal ones."})
    row_rule: str = field(default="rmsprop", metadata={"help": f"How a row's step is scaled: {', '.join(ROW_RULES)}."})
    row_decay: float = field(default=0.99, metadata={"help": "Decay of rmsprop's average, a step a row is in."})
    row_epsilon: float = field(default=0.3, metadata={"help": "Added to the root; see RowOptimizer."})

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("row_rule", self.row_rule, ROW_RULES)
        if self.max_grad_norm:
            raise RecipeError("max_grad_norm: sparse gradients of tables are not clipped; leave it at 0")
        if not 0 <= self.row_decay < 1:
            raise RecipeError(f"row_decay: must be in [0, 1), got {self.row_decay}")
        if not self.row_epsilon > 0:
            raise RecipeError(f"row_epsilon: must be greater than 0, got {self.row_epsilon}")
