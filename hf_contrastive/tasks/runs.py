"""What the runs of tables share: where to resume, and how a run of any task goes."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    return Path(resume)


def run(trainer: FiguresTrainer, recipe: Recipe, resume: Path | None) -> dict[str, Any]:
    """Train to the end; returns what every task's results have of it."""
    args = recipe.training
    if resume is not None:
        logger.info("resuming from %s", resume)
        check_fits(resume, trainer.contrastive_model)
    if args.should_save:
        write_json(Path(args.output_dir) / "recipe.json", recipe.text)
    if resume is not None and is_last_step(resume):
        trainer.load_finished(resume)
    else:
        trainer.train(resume_from_checkpoint=str(resume) if resume is not None else None)
    history = trainer.state.log_history
    return {
        "curve": [entry for entry in history if any(key.startswith("eval_") for key in entry)],
        "best_dev": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "train_seconds": trainer.train_seconds(),
    }


def finish(
    recipe: Recipe, results: dict[str, Any], save: Callable[[Path], None], show: Callable[[Path], None]
) -> None:
    """On the main process: the folder to publish, `results.json`, and what is printed."""
    args = recipe.training
    if args.should_save:
        final = Path(args.output_dir) / "final"
        save(final)
        write_json(Path(args.output_dir) / "results.json", results)
        show(final)
