"""The sources of one group of `graph_costs.py`, in one process: `python graph_costs_contestant.py JOB`."""

import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from harness import Measurement
from word2vec_contestant import StepTimer

from hf_contrastive.data import load_hierarchy, load_knowledge_graph
from hf_contrastive.recipe import Recipe, load_recipe
from hf_contrastive.training.graphs import GraphTrainer, contrastive_graph_model
from hf_contrastive.training.orders import OrderTrainer, contrastive_order_model
from hf_contrastive.training.table_trainer import TableTrainer

graph_of, hierarchy_of = cache(load_knowledge_graph), cache(load_hierarchy)


def measure(job: dict[str, Any]) -> Measurement:
    """Seconds a step of each source."""
    torch.set_num_threads(1)
    return {"step_seconds": {name: seconds(job, overrides) for name, overrides in job["sources"].items()}}


def seconds(job: dict[str, Any], overrides: list[str]) -> float:
    """Of a step of the recipe's training, nothing measured or saved in between."""
    with tempfile.TemporaryDirectory() as folder:
        ours = {
            "output_dir": folder,
            "max_steps": job["warmup"] + job["steps"],
            "eval_strategy": "no",
            "save_strategy": "no",
            "load_best_model_at_end": "false",
            "disable_tqdm": "true",
            "use_cpu": "true",
        }
        recipe = load_recipe(Path(job["recipe"]), [*overrides, *(f"--{key}={value}" for key, value in ours.items())])
        trainer, timer = trainer_of(recipe), StepTimer(job["warmup"])
        trainer.add_callback(timer)
        trainer.train()
    return timer.mean


def trainer_of(recipe: Recipe) -> TableTrainer:
    """Over a graph or a hierarchy, as the recipe's task says."""
    args: Any = recipe.training
    data: Any = recipe.data
    if recipe.task == "graph":
        graph = graph_of(Path(data.train_data))
        return GraphTrainer(contrastive_graph_model(graph, recipe.model, recipe.negatives, args), args, graph.train)
    hierarchy = hierarchy_of(Path(data.train_data), data.protocol)
    return OrderTrainer(
        contrastive_order_model(hierarchy, recipe.model, recipe.negatives, args), args, hierarchy.train
    )


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
