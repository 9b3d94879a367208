"""Every estimator on words, negative sampling to ACE: the same corpus and steps, several seeds, curves by iteration.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/words_study.py [--sources ace] [-- --key value ...]

Where there are negatives, K = 5 a pair. One run after the other, each in a process of its own; a JSON file a run, so
that a study that was cut off goes on. `--budget time` gives a source as many steps as fit into the time of plain
negative sampling's, by the costs that `words_cost.py` has measured.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import curves
import typer
from harness import RESULTS, ROOT, measured_ratio, start
from simcse_study import study

from hf_contrastive.errors import RecipeError

RECIPE = ROOT / "recipes" / "words" / "ace.yaml"
NOISE: dict[str, Any] = {"name": "unigram", "k": 128, "stands_for": 5}
ACE: dict[str, Any] = {
    "name": "adversarial",
    "k": 5,
    "part": {"name": "unigram", "k": 128},
    "noise": 0.5,
    "hidden": 32,
    "temperature": 0.2,
    "min_choices": 16,
    "update_every": 4,
}
SOURCES: dict[str, Any] = {
    "negative_sampling": NOISE,
    "ace": ACE,
    "adv": {**ACE, "noise": 0.0},
    "ace_no_entropy": {**ACE, "entropy_weight": 0.0},
    "ace_no_false_negatives": {**ACE, "false_negatives": "keep"},
    "self_adversarial": {"name": "self_adversarial", "part": NOISE, "alpha": 1.0},
}
# Not the batch but neighbouring words share draws: as many products for many more draws.
NEIGHBOURS = {
    "negatives": json.dumps({"name": "unigram", "k": 32, "shared": False, "stands_for": 5}),
    "words_per_draw": "64",
}
# Other estimators: what they have beside the recipe. NCE and sampled softmax take all 128 draws as what they are.
DRAWS = json.dumps({"name": "unigram", "k": 128})
ESTIMATORS: dict[str, dict[str, str]] = {
    "neighbours": NEIGHBOURS,
    "cbow": {"architecture": "cbow", "negatives": json.dumps(NOISE)},
    "hierarchical_softmax": {"objective": "hierarchical_softmax"},
    "nce": {"objective": "nce", "negatives": DRAWS},
    "sampled_softmax": {"objective": "sampled_softmax", "negatives": DRAWS},
    # On a vocabulary that a full softmax is done with in minutes; and beside it what else would be done with that.
    "full_softmax_of_5000": {"objective": "softmax", "max_vocabulary": "5000"},
    "negative_sampling_of_5000": {"negatives": json.dumps(NOISE), "max_vocabulary": "5000"},
}
SETS = ("WS-353", "SimLex-999", "RW")
KEPT = ("after", "curve", "steps", "words", "vocabulary", "train_seconds", "recipe", "environment")
EVALUATIONS = 20
OUTPUT = RESULTS / "words_study"


def main(
    context: typer.Context,
    sources: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(SOURCES | ESTIMATORS)}.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 42, 43, 44.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of 4,096 words.")] = 5000,
    budget: Annotated[str, typer.Option(help="steps or time.")] = "steps",
    output: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = OUTPUT,
) -> None:
    """Run what is missing, seed by seed, and print the table."""
    wanted = sources or [*SOURCES, *ESTIMATORS]
    for name in wanted:
        if name not in SOURCES | ESTIMATORS:
            raise RecipeError(f"unknown source {name!r}; choose from {', '.join(SOURCES | ESTIMATORS)}")
    if budget not in ("steps", "time"):
        raise RecipeError(f"--budget: choose steps or time, got {budget!r}")
    for seed in seeds or [42, 43, 44]:
        for source in wanted:
            run_one(source, seed, steps, budget, output, context.args)
    show(output)


def run_one(source: str, seed: int, steps: int, budget: str, output: Path, extra: list[str]) -> None:
    """Train with one source and one seed, where its file is not there yet."""
    name = source
    if budget == "time":
        fewer = round(steps / cost(source))
        if fewer > 0.98 * steps:
            return
        steps, name = fewer, f"{source}-equal_time"
    chosen = ESTIMATORS.get(source) or {"negatives": json.dumps(SOURCES[source])}
    overrides = [f"--{key}={value}" for key, value in chosen.items()] + ["--max_steps", str(steps)]
    overrides += ["--eval_steps", str(-(-steps // EVALUATIONS)), "--save_strategy", "no"]
    study([RECIPE], [seed], output, Path("runs/words_study"), [*overrides, *extra], name=name, kept=KEPT)


def cost(source: str) -> float:
    """How much longer a step with this source takes than one of batch-shared negative sampling, as measured."""
    same = {"adv": "ace", "ace_no_entropy": "ace", "ace_no_false_negatives": "ace"}
    return measured_ratio(RESULTS / "words_cost_cpu.json", same.get(source, source))


def show(output: Path) -> None:
    """Print mean ± standard deviation over the seeds."""
    figures: curves.Figures = {
        key: lambda run, key=key: run["after"]["similarity"]["scores"][key]["spearman"] for key in SETS
    }
    summary = {name: curves.over_seeds(runs, figures) for name, runs in curves.by_name(output).items()}
    curves.show(summary, dict(zip(SETS, SETS, strict=True)), "Spearman x 100, mean ± sd over seeds")


if __name__ == "__main__":
    start(main, allow_extra_args=True)
