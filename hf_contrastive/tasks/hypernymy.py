"""Hypernymy: from a recipe to an order embedding, measured by telling held-out pairs from corrupted ones."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hf_contrastive.data import Hierarchy, load_hierarchy
from hf_contrastive.evaluation import evaluate_hypernymy
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.files import whole_file
from hf_contrastive.models import OrderEmbeddingModel
from hf_contrastive.recipe import Recipe
from hf_contrastive.tasks.runs import finish, resume_point, run, show_model
from hf_contrastive.training.orders import OrderTrainer, contrastive_order_model


def train(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe from wherever it stopped last; returns what `results.json` holds."""
    args, data = recipe.training, recipe.data
    resume = resume_point(recipe)
    hierarchy = load_hierarchy(
        data.train_data,
        protocol=data.protocol,
        seed=data.split_seed,
        dev_pairs=data.dev_pairs,
        test_pairs=data.test_pairs,
        close=data.close,
    )
    model = contrastive_order_model(hierarchy, recipe.model, recipe.negatives, args)

    def evaluator(order: OrderEmbeddingModel) -> dict[str, float]:
        result = evaluate_hypernymy(order, hierarchy, "dev")
        return {"accuracy": result.accuracy, "auc": result.auc}

    trainer = OrderTrainer(model, args, hierarchy.train, evaluator=evaluator if args.eval_strategy != "no" else None)
    figures = run(trainer, recipe, resume)
    order = trainer.contrastive_model.published
    after = asdict(evaluate_hypernymy(order, hierarchy, "test"))
    results = {
        "after": after,
        **figures,
        "leaks": hierarchy.leaks,
        "recipe": recipe.text,
        "environment": environment(),
    }
    finish(recipe, results, partial(save_order, model=order, hierarchy=hierarchy), partial(show, results))
    return results


def save_order(folder: Path, model: OrderEmbeddingModel, hierarchy: Hierarchy) -> None:
    """The model, and the names its ids stand for: `concepts.txt`, a name a line."""
    model.save_pretrained(folder)
    with whole_file(folder / "concepts.txt") as partial_file:
        partial_file.write_text("".join(f"{name}\n" for name in hierarchy.names), encoding="utf-8")


def show(results: dict[str, Any], folder: Path) -> None:
    """Print accuracy and breakdown, and how to load what was left."""
    after = results["after"]
    table = Table("negatives", "told apart", "AUC", "pairs", title=f"{folder.parent}: hypernymy, {after['protocol']}")
    for kind, score in after["by_kind"].items():
        cells = list(score.values())
        table.add_row(kind, f"{100 * cells[0]:.2f}", f"{100 * cells[1]:.2f}", str(cells[2]))
    console = Console()
    console.print(table)
    console.print(
        f"accuracy {100 * after['accuracy']:.2f}, threshold chosen on dev; a perfect model would have "
        f"{100 * after['ceiling']:.2f}",
        highlight=False,
    )
    show_model(
        folder,
        "from hf_contrastive.models import OrderEmbeddingModel",
        f'order = OrderEmbeddingModel.from_pretrained("{folder}")',
    )
