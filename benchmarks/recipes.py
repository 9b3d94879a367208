"""Recipes as they stand, run to their end: what they reach and what that takes.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/recipes.py --recipe kg/wn18rr-complex [--seeds 43] [-- ...]

A JSON file a recipe and seed, in benchmarks/results/recipes; one that is there is not run again.
"""

from pathlib import Path
from typing import Annotated

import typer
from harness import RESULTS, ROOT, start
from rich.console import Console
from simcse_study import study

from hf_contrastive.errors import RecipeError

KEPT = ("after", "curve", "steps", "epochs", "train_seconds", "recipe", "environment")
OUTPUT = RESULTS / "recipes"
RUNS = Path("runs/recipes")


def main(
    context: typer.Context,
    recipes: Annotated[
        list[str], typer.Option("--recipe", help="Repeatable: folder and name under recipes/, without .yaml.")
    ],
    seeds: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 42.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = OUTPUT,
) -> None:
    """Run what is missing, and print where the results are."""
    paths = {name: ROOT / "recipes" / f"{name}.yaml" for name in recipes}
    for name, path in paths.items():
        if not path.is_file():
            known = sorted(str(p.relative_to(ROOT / "recipes").with_suffix("")) for p in path.parent.glob("*.yaml"))
            raise RecipeError(f"{name}: no such recipe; there are {', '.join(known) or 'none in that folder'}")
    for name, path in paths.items():
        made = study([path], seeds or [42], output, RUNS, context.args, name=name.replace("/", "-"), kept=KEPT)
        for runs in made.values():
            seconds = ", ".join(f"{run['train_seconds']:.0f}" for run in runs)
            Console().print(f"{name}: {len(runs)} runs, {seconds} s of training; {output}")


if __name__ == "__main__":
    start(main, allow_extra_args=True)
