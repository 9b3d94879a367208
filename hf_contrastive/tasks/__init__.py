"""What a recipe's `task` starts, a file a task."""

from collections.abc import Callable
from typing import Any

from hf_contrastive.recipe import Recipe
from hf_contrastive.tasks import graphs, hypernymy, sentences, words

TASKS: dict[str, Callable[[Recipe], dict[str, Any]]] = {
    "sentences": sentences.train,
    "words": words.train,
    "graph": graphs.train,
    "hypernymy": hypernymy.train,
}


def train(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe from wherever it stopped last; returns what `results.json` holds."""
    return TASKS[recipe.task](recipe)
