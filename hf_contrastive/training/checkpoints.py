"""Which checkpoint to resume from, and whether it fits, before any time is spent."""

import json
import logging
import re
import tempfile
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from hf_contrastive.errors import CheckpointError, RecipeError

logger = logging.getLogger(__name__)

# Keys that change what is shown or kept, not what is learned.
_FREE_KEYS = frozenset(
    {
        "card_base_model",
        "card_datasets",
        "card_language",
        "card_license",
        "card_tags",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "disable_tqdm",
        "final_evaluation",
        "hub_model_id",
        "hub_private_repo",
        "hub_revision",
        "log_level",
        "logging_steps",
        "output_dir",
        "preprocessing_workers",
        "project",
        "push_to_hub",
        "report_to",
        "resume_from_checkpoint",
        "run_name",
        "save_total_limit",
        "sts_data",
        "test_data",
        "transfer_data",
    }
)


def check_writable(folder: Path) -> None:
    """Make `folder` and write to it, so that a full run does not end in an error.

    Raises:
        RecipeError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable-"):
            pass
    except OSError as error:
        raise RecipeError(
            f"output_dir: {folder} cannot be written ({error.strerror}); choose another folder with --output_dir"
        ) from error


def last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint under `folder` that was written to its end.

    The Trainer writes `trainer_state.json` last; a folder without a readable one is what a kill left behind and is
    passed over (training writes that step anew).
    """
    numbered = [
        (int(m[1]), p) for p in folder.glob("checkpoint-*") if (m := re.fullmatch(r"checkpoint-(\d+)", p.name))
    ]
    for _, path in sorted(numbered, reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            logger.warning("%s was not written to its end; passing it over", path)
            continue
        return path
    return None


def is_last_step(checkpoint: Path) -> bool:
    """Whether training had ended at this checkpoint: the Trainer would go one step too far from there."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return state["global_step"] >= state["max_steps"]


def check_same_recipe(folder: Path, text: dict[str, str]) -> None:
    """Refuse to resume a run under another recipe.

    Raises:
        RecipeError: names the keys that differ.
    """
    path = folder / "recipe.json"
    if not path.is_file():
        return
    old = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{key} ({old.get(key, 'not set')} -> {text.get(key, 'not set')})"
        for key in sorted(old.keys() | text.keys())
        if key not in _FREE_KEYS and old.get(key) != text.get(key)
    ]
    if changed:
        raise RecipeError(
            f"output_dir: {folder} holds a run of another recipe, which differs in {', '.join(changed)}; "
            "choose another --output_dir, or delete that folder to start afresh"
        )


def check_fits(checkpoint: Path, model: nn.Module) -> None:
    """Compare names and shapes of a checkpoint's weights with the model's.

    Raises:
        CheckpointError: another architecture; names the first weight that differs.
    """
    path = checkpoint / "model.safetensors"
    if not path.is_file():  # sharded checkpoints of FSDP and DeepSpeed are checked by those
        return
    try:
        with safe_open(path, framework="pt") as file:
            saved = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}); delete {checkpoint} to resume from the one before"
        ) from error
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name, shape in saved.items():
        if wanted.get(name) != shape:
            here = f"shape {list(wanted[name])}" if name in wanted else "no such weight"
            raise CheckpointError(
                f"{checkpoint}: this checkpoint is of another architecture: weight {name} has shape {list(shape)} "
                f"there, {here} in the recipe's model; resume with the model it came from, or change --output_dir"
            )
