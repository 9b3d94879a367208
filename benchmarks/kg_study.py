"""Sources of negatives on knowledge graphs: TransE and TransD, equal K, curves by step and by second, several seeds.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/kg_study.py [--graphs WN18RR] [--sources ace] [-- --key value ...]

K negatives a triple whatever their source. One run after the other, each in a process of its own; a JSON file a run,
so that a study that was cut off goes on. A run notes the validation MRR several times, so with what `graph_costs.py`
has measured, one run shows both what a source reaches in the same steps and in the same time.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import curves
import typer
from harness import RESULTS, ROOT, start
from simcse_study import study

from hf_contrastive.errors import RecipeError

RECIPE = ROOT / "recipes" / "kg" / "transe.yaml"
K = 16
EACH: dict[str, Any] = {"name": "uniform", "k": K, "shared": False}
SOURCES: dict[str, dict[str, Any]] = {
    "uniform": {"negatives": EACH},
    "bernoulli": {"negatives": EACH, "corrupted_side": "bernoulli"},
    # Weights that sum to 1, as in RotatE's loss.
    "self_adversarial": {"negatives": {"name": "self_adversarial", "part": {**EACH, "stands_for": 1}, "alpha": 1.0}},
    "nscaching": {"negatives": {"name": "cached", "k": K, "cache_size": 50, "candidates": 50}},
    # The generator chooses K of 64 random entities for each triple, and learns by REINFORCE, as in KBGAN.
    "kbgan": {
        "negatives": {"name": "adversarial", "estimator": "reinforce", "k": K, "part": {**EACH, "k": 64}},
    },
    # Exact, over 128 random entities that the batch shares.
    "ace": {"negatives": {"name": "adversarial", "k": K, "part": {"name": "uniform", "k": 128}}},
}
# TransD's projections have at most length 1, so its scores are small: its authors' margin.
MODELS: dict[str, dict[str, str]] = {"transe": {}, "transd": {"objective": "triplet", "margin": "1.0"}}
GRAPHS: dict[str, list[int]] = {"WN18RR": [42, 43, 44], "FB15k-237": [42]}  # and their seeds
STEPS = 1000
EVALUATIONS = 5
VALIDATION_TRIPLES = 500  # ranking them against all entities takes longer than training in between
KEPT = ("after", "curve", "steps", "epochs", "train_seconds", "recipe", "environment")
COLUMNS = {"mrr": "test MRR", "hits_at_10": "test Hits@10", "equal_steps": "valid MRR", "equal_time": "at equal time"}
COSTS = RESULTS / "graph_costs_cpu.json"
OUTPUT = RESULTS / "kg_study"
RUNS = Path("runs/kg_study")


def main(
    context: typer.Context,
    graphs: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(GRAPHS)}.")] = None,
    models: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(MODELS)}.")] = None,
    sources: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(SOURCES)}.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 3 on WN18RR, else 42.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = OUTPUT,
) -> None:
    """Run what is missing and print the table."""
    chosen = [(graphs or list(GRAPHS), GRAPHS), (models or list(MODELS), MODELS), (sources or list(SOURCES), SOURCES)]
    for names, known in chosen:
        for name in names:
            if name not in known:
                raise RecipeError(f"unknown graph, model or source {name!r}; choose from {', '.join(known)}")
    of_graphs, of_models, of_sources = (names for names, _ in chosen)
    # All sources with one seed come before the next seed: a study that is cut off still compares like with like.
    for seed in seeds or [42, 43, 44]:
        for graph in of_graphs:
            if seeds is None and seed not in GRAPHS[graph]:
                continue
            for model in of_models:
                for source in of_sources:
                    name, overrides = f"{graph}-{model}-{source}", overrides_of(graph, model, source)
                    overrides += context.args
                    study([RECIPE], [seed], output, RUNS, overrides, name=name, kept=KEPT)
    summary = summarise(curves.by_name(output), curves.step_seconds(COSTS))
    curves.show(summary, COLUMNS, f"filtered link prediction x 100, K = {K}")


def overrides_of(graph: str, model: str, source: str) -> list[str]:
    """What a run has beside the recipe."""
    keys = {
        "train_data": "${HF_CONTRASTIVE_DATA}/kg/" + graph,
        "interaction": model,
        **MODELS[model],
        "max_steps": STEPS,
        "eval_steps": STEPS // EVALUATIONS,
        "eval_triples": VALIDATION_TRIPLES,
        "save_strategy": "no",
        "load_best_model_at_end": "false",
        **{key: value if isinstance(value, str) else json.dumps(value) for key, value in SOURCES[source].items()},
    }
    return [f"--{key}={value}" for key, value in keys.items()]


def summarise(runs: dict[str, list[curves.Run]], seconds: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """By graph, model and source: test MRR and Hits@10, validation MRR at equal steps and at equal time."""
    figures: curves.Figures = {
        "mrr": lambda run: run["after"]["both"]["mrr"],
        "hits_at_10": lambda run: run["after"]["both"]["hits_at_10"],
    }
    return curves.at_equal_steps_and_time(runs, "eval_mrr", "uniform", figures, seconds)


if __name__ == "__main__":
    start(main, allow_extra_args=True)
