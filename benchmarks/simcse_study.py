"""The SimCSE recipes over several seeds: what they gain, and how much of it is the seed.

    HF_CONTRASTIVE_DATA=FOLDER HF_CONTRASTIVE_CHECKPOINT=FOLDER python benchmarks/simcse_study.py [-- --key value ...]

One run after the other, each in a process of its own under `runs/study`; a JSON file a run. Started again, it skips
the runs whose files are there and begins the one that was cut off anew, so that its seconds are those of a whole run.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from harness import RESULTS, ROOT, refuse_differences, spread, start, without_paths
from rich.console import Console
from rich.table import Table

from hf_contrastive.files import write_json
from hf_contrastive.recipe import load_recipe

SIMCSE = ROOT / "recipes" / "simcse"
KEPT = (
    "before",
    "after",
    "curve",
    "losses",
    "best_dev",
    "best_step",
    "steps",
    "train_seconds",
    "recipe",
    "environment",
)
COLUMNS: dict[str, tuple[str, ...]] = {
    "STS-B dev": ("dev", "dev_spearman"),
    "STS-B test": ("sts", "scores", "STSBenchmark", "spearman"),
    "test data": ("test", "spearman"),
    "STS average": ("sts", "average"),
    "transfer average": ("transfer", "average"),
}


def main(
    context: typer.Context,
    recipes: Annotated[
        list[Path] | None, typer.Option(help="Repeatable; default: the two DistilBERT recipes.")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 42, 43, 44.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = RESULTS / "simcse_distilbert",
    keep: Annotated[bool, typer.Option(help="Keep the checkpoints of the runs beside their final models.")] = False,
) -> None:
    """Run what is missing and print the table; `-- --key value ...` overrides keys of all recipes."""
    recipes = recipes or [SIMCSE / "unsup-distilbert.yaml", SIMCSE / "sup-distilbert.yaml"]
    results = study(recipes, seeds or [42, 43, 44], output, Path("runs/study"), context.args, keep)
    show(results)


def study(
    recipes: Sequence[Path],
    seeds: Sequence[int],
    output: Path,
    runs: Path,
    overrides: Sequence[str] = (),
    keep: bool = False,
    run: Callable[[list[str]], Any] = lambda command: subprocess.run(command, check=True),
    name: str | None = None,
    same_start: str | None = None,
    kept: Sequence[str] = KEPT,
) -> dict[str, list[dict[str, Any]]]:
    """Results of every seed by name of recipe.

    Args:
        runs: folder in which the runs have theirs.
        run: starts a command and returns when it has ended well.
        name: what the runs are called, with their seed behind it, where there is one recipe; default: the recipe.
        same_start: pattern of the results in `output` that were measured before training on the same checkpoint with
            the same pooler; default: those of the other seeds.
        kept: keys of a run's results that its file has.

    Raises:
        RecipeError: a recipe or override that cannot be used, or a result that was made with others; before any run.
    """
    settings = {path: without_paths(load_recipe(path, overrides).text) for path in recipes}
    names = {recipe: name or recipe.stem for recipe in recipes}
    for recipe, seed in product(recipes, seeds):
        called = f"{names[recipe]}-{seed}"
        for made in (output / f"{called}.json", runs / called / "results.json"):
            if made.is_file():
                old = without_paths(_read(made)["recipe"])
                refuse_differences(made, _without_run(old), _without_run(settings[recipe]))

    results: dict[str, list[dict[str, Any]]] = {called: [] for called in names.values()}
    for recipe, seed in product(recipes, seeds):
        called = f"{names[recipe]}-{seed}"
        path, folder = output / f"{called}.json", runs / called
        if not path.is_file():
            if not (folder / "results.json").is_file():  # else it had ended, and only the file was not yet written
                others = sorted(output.glob(same_start or f"{names[recipe]}-*.json")) if "before" in kept else []
                _start_afresh(folder, others)
                command = [sys.executable, "-m", "hf_contrastive.train", str(recipe), *overrides]
                run([*command, "--seed", str(seed), "--output_dir", str(folder), "--report_to", "none"])
            whole = _read(folder / "results.json")
            write_json(path, without_paths({key: whole[key] for key in kept}))
            for checkpoint in [] if keep else folder.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
        results[names[recipe]].append(_read(path))
    return results


def _start_afresh(folder: Path, others: list[Path]) -> None:
    """Empty the run's folder; what another run measured before training is not measured again."""
    shutil.rmtree(folder, ignore_errors=True)
    if others:
        write_json(folder / "before.json", _read(others[0])["before"])


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _without_run(recipe: dict[str, str]) -> dict[str, str]:
    """A recipe without what differs from seed to seed, and without what says how a run is watched."""
    return {
        key: value for key, value in recipe.items() if key not in ("seed", "output_dir", "report_to", "disable_tqdm")
    }


def show(results: dict[str, list[dict[str, Any]]]) -> None:
    """Print mean ± standard deviation over the seeds."""
    table = Table("", "seeds", *COLUMNS, "train seconds", title="Spearman and accuracy x 100, mean ± sd over seeds")
    for name, made in results.items():
        table.add_row(f"{name}, before", "", *(_cell(made[:1], "before", keys) for keys in COLUMNS.values()), "")
        cells = [_cell(made, "after", keys) for keys in COLUMNS.values()]
        table.add_row(
            f"{name}, after", str(len(made)), *cells, _mean_sd([result["train_seconds"] for result in made], 0)
        )
    Console().print(table)


def _cell(results: list[dict[str, Any]], moment: str, keys: Sequence[str]) -> str:
    values = []
    for result in results:
        value: Any = result[moment]
        for key in keys:
            value = (value or {}).get(key)  # a run measures only what its recipe asks for
        values.append(value)
    return "-" if None in values else _mean_sd([100 * value for value in values], 2)


def _mean_sd(values: Sequence[float], digits: int) -> str:
    figures = spread(values)
    mean = f"{figures['mean']:.{digits}f}"
    return f"{mean} ± {figures['stdev']:.{digits}f}" if len(values) > 1 else mean


if __name__ == "__main__":
    start(main, allow_extra_args=True)
