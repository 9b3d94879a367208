"""What the runs of all tasks share: where to resume, how training goes, and what is left and said at the end."""

import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import TrainingArguments

from hf_contrastive.errors import ContrastiveError
from hf_contrastive.files import write_json
from hf_contrastive.hub import PublishError, write_cards
from hf_contrastive.recipe import Recipe
from hf_contrastive.training.checkpoints import (
    check_fits,
    check_same_recipe,
    check_writable,
    is_last_step,
    last_complete_checkpoint,
)
from hf_contrastive.training.distributed import world_size
from hf_contrastive.training.figures_trainer import FiguresTrainer
from hf_contrastive.training.hub import hub_name, open_hub_model, push_folder
from hf_contrastive.training.launch import launch_options

logger = logging.getLogger(__name__)


def resume_point(recipe: Recipe) -> Path | None:
    """The checkpoint a run goes on from; checks that its folder can be written and was made by the same recipe."""
    args = recipe.training
    check_writable(Path(args.output_dir))
    if args.push_to_hub and args.should_save:
        open_hub_model(args)
    resume = args.resume_from_checkpoint or last_complete_checkpoint(Path(args.output_dir))
    if resume is None:
        return None
    check_same_recipe(Path(args.output_dir), recipe.text)
    logger.info("resuming from %s", resume)
    return Path(resume)


def begin(trainer: FiguresTrainer, recipe: Recipe, resume: Path | None) -> None:
    """Check that the checkpoint is of this model, and leave the recipe that the next start compares its own with."""
    if resume is not None:
        check_fits(resume, trainer.contrastive_model)
    if recipe.training.should_save:
        write_json(Path(recipe.training.output_dir) / "recipe.json", recipe.text)


def train_to_end(trainer: FiguresTrainer, resume: Path | None) -> dict[str, Any]:
    """Train what is left to train; returns what every task's results have of it."""
    if resume is not None and is_last_step(resume):
        trainer.load_finished(resume)
    else:
        trainer.train(resume_from_checkpoint=str(resume) if resume is not None else None)
    history = trainer.state.log_history
    return {
        "curve": [entry for entry in history if any(key.startswith("eval_") for key in entry)],
        "losses": thinned([[entry["step"], entry["loss"]] for entry in history if "loss" in entry]),
        "processes": world_size(),
        "launch": launch_options(trainer.accelerator),
        "best_dev": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
        "train_seconds": trainer.train_seconds(),
    }


def run(trainer: FiguresTrainer, recipe: Recipe, resume: Path | None) -> dict[str, Any]:
    """Train tables, which are measured only as they train and at the end; returns their figures."""
    begin(trainer, recipe, resume)
    figures = train_to_end(trainer, resume)
    return {**figures, "epochs": trainer.state.epoch}


def thinned(points: list[list[float]], most: int = 200) -> list[list[float]]:
    """At most `most` of the points and the last, evenly spaced."""
    if len(points) <= most:
        return points
    step = -(-len(points) // most)
    return points[::step] if (len(points) - 1) % step == 0 else [*points[::step], points[-1]]


def finish(
    recipe: Recipe, results: dict[str, Any], save: Callable[[Path], None] | None, show: Callable[[Path], None]
) -> None:
    """On the main process: the folder to publish with its model card, `results.json`, and what is printed.

    Args:
        save: writes the folder; `None` where all processes together have written it before.
        show: prints `results`.
    """
    args = recipe.training
    if args.should_save:
        final = Path(args.output_dir) / "final"
        if save is not None:
            save(final)
        write_json(Path(args.output_dir) / "results.json", results)
        try:
            write_cards(final.parent, results)
        except ContrastiveError as error:  # nothing that hours of training should end in an error for
            logger.warning("no model card: %s", error)
        show(final)
        if args.push_to_hub:
            push(final, args)


def push(final: Path, args: TrainingArguments) -> None:
    """Publish what a run left, and print where it is.

    Raises:
        PublishError: with the command that publishes it later, to the same branch and as private.
    """
    try:
        done = push_folder(final, args)
    except ContrastiveError as error:
        again = ["hf-contrastive", "publish", str(final), hub_name(args)]
        again += ["--private"] if args.hub_private_repo else []
        again += ["--revision", args.hub_revision] if args.hub_revision else []
        raise PublishError(f"{error}; the model is finished, and `{shlex.join(again)}` publishes it") from error
    Console().print(f"published: {done.url}", highlight=False, soft_wrap=True)


def show_model(folder: Path, *lines: str) -> None:
    """Print where the model is, and the lines of Python that load it."""
    console = Console()
    console.print(f"model: {folder}\n", highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
