"""Sources of negatives on WordNet's hypernyms: order embeddings, both protocols, several seeds.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/hypernymy_study.py [--sources ace] [-- --key value ...]

One run after the other, each in a process of its own; a JSON file a run, so that a study that was cut off goes on.
`--budget time` gives a source as many steps as fit into the time of the plain runs, by the costs that
`graph_costs.py` has measured; sources within 2% of the plain step are not run again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import curves
import typer
from harness import RESULTS, ROOT, start
from simcse_study import study

from hf_contrastive.arguments import PROTOCOLS
from hf_contrastive.errors import RecipeError

RECIPE = ROOT / "recipes" / "hypernymy" / "wordnet.yaml"
ONE: dict[str, Any] = {"name": "uniform", "k": 1, "shared": False}
TWO: dict[str, Any] = {**ONE, "k": 2}
# One draw of noise beside one that the generator chooses out of 32 that the batch shares.
ACE: dict[str, Any] = {"name": "adversarial", "k": 1, "part": {"name": "uniform", "k": 32}}
SOURCES: dict[str, dict[str, Any]] = {
    "uniform_1": {"negatives": ONE, "filter_known": False},
    "uniform_2": {"negatives": TWO, "filter_known": False},
    "filtered_1": {"negatives": ONE},
    "filtered_2": {"negatives": TWO},
    "self_adversarial": {"negatives": {"name": "self_adversarial", "part": {**ONE, "k": 2}, "alpha": 1.0}},
    "ace": {"negatives": [ONE, ACE]},
    "ace_no_false_negatives": {
        "negatives": [ONE, {**ACE, "false_negatives": "keep"}],
        "filter_known": False,
    },
}
KEPT = ("after", "curve", "steps", "epochs", "train_seconds", "recipe", "environment")
COLUMNS = {"accuracy": "test", "dev": "dev"}
PLAIN = "uniform_1"
COSTS = RESULTS / "graph_costs_cpu.json"
OUTPUT = RESULTS / "hypernymy_study"
RUNS = Path("runs/hypernymy_study")


def main(
    context: typer.Context,
    protocols: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(PROTOCOLS)}.")] = None,
    sources: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(SOURCES)}.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 42, 43, 44.")] = None,
    budget: Annotated[str, typer.Option(help="steps or time.")] = "steps",
    output: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = OUTPUT,
) -> None:
    """Run what is missing and print the table."""
    if budget not in ("steps", "time"):
        raise RecipeError(f"--budget: choose steps or time, got {budget!r}")
    for names, known in ((protocols or [], PROTOCOLS), (sources or [], SOURCES)):
        for name in names:
            if name not in known:
                raise RecipeError(f"unknown protocol or source {name!r}; choose from {', '.join(known)}")
    # All sources with one seed come before the next seed: a study that is cut off still compares like with like.
    for seed in seeds or [42, 43, 44]:
        for protocol in protocols or PROTOCOLS:
            for source in sources or SOURCES:
                name, overrides = f"{protocol}-{source}", [*overrides_of(protocol, source), *context.args]
                if budget == "time":
                    steps, fewer = steps_in_equal_time(output, protocol, source)
                    if fewer > 0.98 * steps:
                        continue
                    name, overrides = f"{name}_equal_time", [*overrides, f"--max_steps={fewer}"]
                study([RECIPE], [seed], output, RUNS, overrides, name=name, kept=KEPT)
    curves.show(summarise(curves.by_name(output), curves.step_seconds(COSTS)), COLUMNS, "hypernymy, accuracy x 100")


def steps_in_equal_time(output: Path, protocol: str, source: str) -> tuple[int, int]:
    """Steps of the plain runs, and how many with another source take as long."""
    runs, plain = curves.by_name(output), f"{protocol}-{PLAIN}"
    if plain not in runs:
        raise RecipeError(f"{output} has no {plain}-SEED.json; run it at equal steps first")
    seconds, steps = curves.step_seconds(COSTS), runs[plain][0]["steps"]
    return steps, round(steps * seconds[measured_as(plain)] / seconds[measured_as(f"{protocol}-{source}")])


def measured_as(name: str) -> str:
    """What `graph_costs.py` calls a row: protocols cost the same."""
    return f"filtered-{name.partition('-')[2].removesuffix('_equal_time')}"


def overrides_of(protocol: str, source: str) -> list[str]:
    """What a run has beside the recipe."""
    keys = {"protocol": protocol, "save_strategy": "no", "load_best_model_at_end": False, **SOURCES[source]}
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in keys.items()]


def summarise(runs: dict[str, list[curves.Run]], seconds: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """By protocol and source: accuracy on test and dev."""
    figures: curves.Figures = {
        "accuracy": lambda run: run["after"]["accuracy"],
        "dev": lambda run: curves.at_step(run["curve"], "eval_accuracy"),
    }
    return curves.with_cost(runs, PLAIN, figures, {name: seconds[measured_as(name)] for name in runs})


if __name__ == "__main__":
    start(main, allow_extra_args=True)
