"""What is looked at: published models, and runs with their checkpoints."""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath

from safetensors import SafetensorError
from safetensors.torch import load_file

from hf_contrastive.arguments import ModelArguments
from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import load_recipe
from hf_contrastive.tasks.sentences import load_encoder
from hf_contrastive.training.sentence_model import without_shared

logger = logging.getLogger(__name__)

_RECIPE = "recipe.json"


@dataclass(frozen=True)
class Subject:
    """One argument of the command line.

    Attributes:
        label: what pictures call it.
        model: as it was named.
        published: folder or Hub name of the model; `None` while a run has none yet.
        run: folder of a run; `None` for a model.
        checkpoints: of the run, by step.
    """

    label: str
    model: str
    published: str | None
    run: Path | None = None
    checkpoints: tuple[tuple[int, Path], ...] = ()


def find_subjects(models: Sequence[str], labels: Sequence[str] = ()) -> list[Subject]:
    """What the arguments name.

    Args:
        models: folders and Hub names; a folder without config.json and with recipe.json is a run.
        labels: one for each; default: as much of each path's end as tells them apart.

    Raises:
        RecipeError: labels that are not one a model, or the same twice.
        CheckpointError: a run that cannot be looked at.
    """
    if labels and len(labels) != len(models):
        raise RecipeError(f"label: {len(labels)} labels for {len(models)} models; give one for each, in their order")
    names = list(labels) or short_names(models)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(f"label: {twice[0]!r} is the name of two models; give each its own with --label")
    return [_subject(name, model) for name, model in zip(names, models, strict=True)]


def short_names(models: Sequence[str]) -> list[str]:
    """The last parts of each path, as few as make them differ; a last part `final` does not count."""
    parts = []
    for model in models:
        path = PurePath(model)
        own = path.parent if path.name == "final" and path.parent.name else path
        parts.append([part for part in own.parts if part != path.anchor] or [model])
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-count:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return list(models)


def run_encoder(run: Path) -> SentenceEncoder:
    """The encoder that a run trains, by its recipe; the weights are still those it began with.

    Raises:
        CheckpointError: no recipe there that says which.
    """
    text = _recipe(run)
    keys = {item.name for item in fields(ModelArguments)} | {"eval_pooler", "eval_max_length"}
    overrides = [f"--train_data={text.get('train_data', '')}", f"--output_dir={run}"]
    for key in sorted(keys & text.keys()):
        values = text[key].split(" ") if key == "lora_target_modules" else [text[key]]
        overrides += [f"--{key}={values[0]}", *values[1:]]
    return load_encoder(load_recipe(None, overrides))


def load_weights(encoder: SentenceEncoder, checkpoint: Path) -> None:
    """Put a checkpoint's weights into the encoder of its run.

    Raises:
        CheckpointError: no weights there, or another model's.
    """
    path = checkpoint / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{checkpoint}: no model.safetensors (FSDP and DeepSpeed write shards); name the final folder instead"
        )
    try:
        saved = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); delete {checkpoint} to pass it over") from error
    state = {name.removeprefix("encoder."): value for name, value in saved.items() if name.startswith("encoder.")}
    own = encoder.state_dict()
    wrong = [name for name, value in state.items() if name not in own or own[name].shape != value.shape]
    wrong += [name for name in without_shared(own) if name not in state]
    if wrong:
        raise CheckpointError(
            f"{checkpoint}: weight {wrong[0]} does not fit the model of {checkpoint.parent / _RECIPE}"
        )
    encoder.load_state_dict(state, strict=False)  # tied weights have one name in the file


def _subject(label: str, model: str) -> Subject:
    folder = Path(model)
    steps = [(int(m[1]), p) for p in folder.glob("checkpoint-*") if (m := re.fullmatch(r"checkpoint-(\d+)", p.name))]
    is_run = folder.is_dir() and not (folder / "config.json").is_file() and (steps or (folder / _RECIPE).is_file())
    if not is_run:
        return Subject(label, model, model)
    task = _recipe(folder).get("task") if (folder / _RECIPE).is_file() else None
    if task is not None:
        raise CheckpointError(f"{folder}: is a run of task {task}; only models of sentences can be looked at")
    complete = [(step, path) for step, path in sorted(steps) if (path / "trainer_state.json").is_file()]
    if len(complete) < len(steps):
        logger.warning("%s: passing over %d unfinished checkpoints", folder, len(steps) - len(complete))
    final = folder / "final"
    published = str(final) if (final / "config.json").is_file() else None
    if published is None and not complete:
        raise CheckpointError(f"{folder}: is a run without a checkpoint so far; come back when it has one")
    return Subject(label, model, published, folder, tuple(complete))


def _recipe(run: Path) -> dict[str, str]:
    path = run / _RECIPE
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(text, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); name the published model instead") from error
    return text
