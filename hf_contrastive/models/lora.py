"""Low-rank adapters through peft (Hu et al., 2022): trained beside the frozen checkpoint, merged or kept alone."""

import copy
import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.utils.peft_utils import find_adapter_config_file

from hf_contrastive.errors import CheckpointError, RecipeError

ADAPTER_CONFIG = "adapter_config.json"


def add_lora(
    backbone: PreTrainedModel,
    r: int,
    alpha: int = 16,
    dropout: float = 0.0,
    target_modules: list[str] | None = None,
    revision: str = "main",
) -> PreTrainedModel:
    """Freeze `backbone` and add adapters of rank `r` to its `target_modules` (default: peft's for its type).

    Args:
        revision: of the checkpoint, noted in the adapters' configuration.

    Raises:
        RecipeError: peft is not installed, or finds no such modules.
    """
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError:
        raise RecipeError("lora_r: LoRA needs peft; pip install 'hf-contrastive[peft]'") from None
    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target_modules,
        revision=None if revision == "main" else revision,
        auto_mapping={"base_model_class": type(backbone).__name__, "parent_library": type(backbone).__module__},
    )
    try:
        return get_peft_model(backbone, config)
    except ValueError as error:
        raise RecipeError(f"lora_target_modules: {error}") from error


def is_lora(backbone: object) -> bool:
    """Whether `backbone` carries peft adapters."""
    return hasattr(backbone, "peft_config") and hasattr(backbone, "merge_and_unload")


def merged(backbone: PreTrainedModel) -> PreTrainedModel:
    """A plain model with the adapters folded into its weights; `backbone` itself is left as it is."""
    if not is_lora(backbone):
        return backbone
    return copy.deepcopy(backbone).merge_and_unload()


def save_adapter(backbone: Any, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        CheckpointError: `backbone` carries no adapters.
    """
    if not is_lora(backbone):
        raise CheckpointError(f"{folder}: the model has no adapters; train with lora_r, or save the whole model")
    # "auto" would ask the Hub for the base model's configuration; its embeddings are not trained here.
    backbone.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's, with the path of the base model in it


def adapter_config(name_or_path: str, revision: str = "main") -> dict[str, Any] | None:
    """What a folder's or a repository's `adapter_config.json` says; `None` where there is none."""
    try:
        path = find_adapter_config_file(name_or_path, revision=revision)
    except OSError:  # neither a folder nor a name
        return None
    return None if path is None else dict(json.loads(Path(path).read_text(encoding="utf-8")))


def with_adapter(backbone: PreTrainedModel, name_or_path: str, revision: str = "main") -> PreTrainedModel:
    """`backbone` with the adapters of a folder or a repository folded into its weights.

    Raises:
        CheckpointError: peft is not installed, or the adapters are of another model.
    """
    try:
        from peft import PeftModel
    except ImportError:
        raise CheckpointError(
            f"{name_or_path}: adapters of LoRA need peft; pip install 'hf-contrastive[peft]'"
        ) from None
    try:
        return PeftModel.from_pretrained(backbone, name_or_path, revision=revision).merge_and_unload()
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{name_or_path}: its adapters do not fit {backbone.config.name_or_path} ({str(error).splitlines()[0]})"
        ) from error
