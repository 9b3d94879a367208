"""What the runs of all tasks share: where to resume, how training goes, and what is left and said at the end."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from hf_contrastive.files import write_json
from hf_contrastive.recipe import Recipe
from hf_contrastive.training.checkpoints import (
    check_fits,
    check_same_recipe,
    check_writable,
    is_last_step,
    last_complete_checkpoint,
)
from hf_contrastive.training.figures_trainer import FiguresTrainer

logger = logging.getLogger(__name__)


def resume_point(recipe: Recipe) -> Path | None:
    """The checkpoint a run goes on from; checks that its folder can be written and was made by the same recipe."""
    args = recipe.training
    check_writable(Path(args.output_dir))
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
    return {
        "best_dev": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
        "train_seconds": trainer.train_seconds(),
    }


def run(trainer: FiguresTrainer, recipe: Recipe, resume: Path | None) -> dict[str, Any]:
    """Train tables, which are measured only as they train and at the end; returns their figures."""
    begin(trainer, recipe, resume)
    figures = train_to_end(trainer, resume)
    curve = [entry for entry in trainer.state.log_history if any(key.startswith("eval_") for key in entry)]
    return {"curve": curve, **figures, "epochs": trainer.state.epoch}


def finish(
    recipe: Recipe, results: dict[str, Any], save: Callable[[Path], None] | None, show: Callable[[Path], None]
) -> None:
    """On the main process: the folder to publish, `results.json`, and what is printed.

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
        show(final)


def show_model(folder: Path, *lines: str) -> None:
    """Print where the model is, and the lines of Python that load it."""
    console = Console()
    console.print(f"model: {folder}\n", highlight=False)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
