"""Knowledge graphs: from a recipe to a folder with tables, measured by filtered link prediction."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hf_contrastive.arguments import GraphEvaluationArguments
from hf_contrastive.data import KnowledgeGraph, load_knowledge_graph
from hf_contrastive.errors import DataError
from hf_contrastive.evaluation import evaluate_link_prediction
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.files import whole_file
from hf_contrastive.models import KnowledgeGraphModel
from hf_contrastive.recipe import Recipe
from hf_contrastive.tasks.runs import finish, resume_point, run, show_model
from hf_contrastive.training.graphs import GraphTrainer, contrastive_graph_model


def train(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe from wherever it stopped last; returns what `results.json` holds."""
    args, evaluation = recipe.training, recipe.evaluation
    resume = resume_point(recipe)
    graph = load_knowledge_graph(recipe.data.train_data, recipe.data.train_data_name)
    measured = args.eval_strategy != "no"
    for split in (evaluation.eval_split, "test") if measured else ("test",):
        if not len(getattr(graph, split)):
            raise DataError(f"train_data: {recipe.data.train_data} has no triples in {split}; add some to measure on")
    model = contrastive_graph_model(graph, recipe.model, recipe.negatives, args)
    evaluator = link_evaluator(graph, evaluation) if measured else None
    trainer = GraphTrainer(model, args, graph.train, evaluator=evaluator)
    figures = run(trainer, recipe, resume)
    tables = trainer.contrastive_model.published
    show_bar = args.should_log and not args.disable_tqdm
    after = evaluate_link_prediction(tables, graph, "test", evaluation.eval_batch_triples, progress=show_bar)
    results = {"after": after.to_dict(), **figures, "recipe": recipe.text, "environment": environment()}
    finish(recipe, results, partial(save_graph, model=tables, graph=graph), partial(show, results))
    return results


def link_evaluator(
    graph: KnowledgeGraph, args: GraphEvaluationArguments
) -> Callable[[KnowledgeGraphModel], dict[str, float]]:
    """What the Trainer calls: filtered mrr, hits and mean rank on the split a recipe names."""
    chosen = getattr(graph, args.eval_split)[: args.eval_triples]

    def evaluate(model: KnowledgeGraphModel) -> dict[str, float]:
        # Other true entities are left out as ever: the filter knows all splits, of which this changes one.
        measured = replace(graph, **{args.eval_split: chosen})
        measured.__dict__["known"] = graph.known
        result = evaluate_link_prediction(model, measured, args.eval_split, args.eval_batch_triples, progress=False)
        names = ("mrr", "mr", "hits_at_1", "hits_at_3", "hits_at_10")
        return {name: getattr(result.both, name) for name in names}

    return evaluate


def save_graph(folder: Path, model: KnowledgeGraphModel, graph: KnowledgeGraph) -> None:
    """The model, and the names its ids stand for: `entities.txt` and `relations.txt`, a name a line."""
    model.save_pretrained(folder)
    for name, names in (("entities.txt", graph.entities), ("relations.txt", graph.relations)):
        with whole_file(folder / name) as partial_file:
            partial_file.write_text("".join(f"{line}\n" for line in names), encoding="utf-8")


def show(results: dict[str, Any], folder: Path) -> None:
    """Print the table, and how to load what was left."""
    columns = {"mrr": "MRR", "hits_at_1": "Hits@1", "hits_at_3": "Hits@3", "hits_at_10": "Hits@10", "mr": "MR"}
    table = Table("filtered", *columns.values(), title=f"{folder.parent}: link prediction on test")
    for side in ("head", "tail", "both"):
        figures = results["after"][side]
        table.add_row(side, *(f"{figures[key]:.0f}" if key == "mr" else f"{figures[key]:.3f}" for key in columns))
    Console().print(table)
    show_model(
        folder,
        "from hf_contrastive.models import KnowledgeGraphModel",
        f'graph = KnowledgeGraphModel.from_pretrained("{folder}")',
    )
