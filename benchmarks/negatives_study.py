"""Sources of negatives beside each other: SimCSE on one checkpoint, several seeds, at equal steps and at equal time.

    python benchmarks/negatives_study.py [--settings unsup] [--sources ace_exact] [-- --key value ...]

One run after the other, each in a process of its own; a JSON file a run, so that a study that was cut off goes on
where it stopped. `--budget time` gives a source as many steps as fit into the time of the plain run's, by the costs
that `negatives_cost.py` has measured; sources within 2% of the plain step are not run again. `--average` measures the
seven STS tasks of models that are still under `runs/`: on a CPU that takes longer than training them did.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from curves import by_name
from harness import RESULTS, ROOT, data_folder, measured_ratio, start, without_paths
from simcse_study import show, study

from hf_contrastive.errors import RecipeError
from hf_contrastive.files import write_json

SIMCSE = ROOT / "recipes" / "simcse"
FRESH = 16  # sentences encoded beside a batch of 64 pairs: the same number for every source that encodes any
ACE: dict[str, Any] = {"name": "adversarial", "fresh": FRESH, "k": 64}
SOURCES: dict[str, list[Any]] = {
    "in_batch": [],
    "queue": ["queue"],
    "random": [{"name": "uniform", "k": FRESH, "fresh": True}],
    "mined": ["hard"],
    "self_adversarial": [{"name": "self_adversarial", "part": "queue"}],
    "ace_exact": [ACE],
    "ace_bank": [{**ACE, "fresh": 0}],
    "ace_guided": [{"name": "filtered", "part": {**ACE, "k": 16}, "guide_margin": 0.0}],
    "ace_reinforce": [{**ACE, "estimator": "reinforce"}],
    "ace_no_entropy": [{**ACE, "entropy_weight": 0.0}],
    "ace_no_false_negatives": [{**ACE, "false_negatives": "keep"}],
}
# The recipe, what is in the pool anyway, and which columns are read.
SETTINGS: dict[str, tuple[Path, list[str], str | None]] = {
    "unsup": (SIMCSE / "unsup-distilbert.yaml", ["in_batch"], None),
    "sup_pairs": (SIMCSE / "sup-distilbert.yaml", ["in_batch"], "{anchor: sent0, positive: sent1}"),
    "sup": (SIMCSE / "sup-distilbert.yaml", ["in_batch", "hard"], None),
}
STEPS = {"unsup": 60, "sup_pairs": 30, "sup": 30}  # labelled pairs are longer, and teach faster
EVALUATIONS = 2  # of STS-B dev, the last one after the last step
OUTPUT = RESULTS / "negatives_study"
RUNS = Path("runs/negatives_study")


def main(
    context: typer.Context,
    settings: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(SETTINGS)}.")] = None,
    sources: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(SOURCES)}.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 42, 43, 44.")] = None,
    budget: Annotated[str, typer.Option(help="steps or time.")] = "steps",
    average: Annotated[bool, typer.Option(help="Measure the seven STS tasks of the runs that are there.")] = False,
    output: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = OUTPUT,
) -> None:
    """Run what is missing, seed by seed, and print a table for each setting."""
    chosen, wanted = settings or list(SETTINGS), sources or list(SOURCES)
    for name, known in [(name, SETTINGS) for name in chosen] + [(name, SOURCES) for name in wanted]:
        if name not in known:
            raise RecipeError(f"unknown setting or source {name!r}; choose from {', '.join(known)}")
    if budget not in ("steps", "time"):
        raise RecipeError(f"--budget: choose steps or time, got {budget!r}")
    # All sources with one seed come before the next seed: a study that is cut off still compares like with like.
    for seed in seeds or [42, 43, 44]:
        for setting in chosen:
            for source in wanted:
                if average:
                    suffix = "-equal_time" if budget == "time" else ""
                    measure_average(output / f"{setting}-{source}{suffix}-{seed}.json")
                else:
                    run_one(setting, source, seed, budget, output, context.args)
    for setting in chosen:
        show(by_name(output, f"{setting}-*.json"))


def run_one(setting: str, source: str, seed: int, budget: str, output: Path, extra: list[str]) -> None:
    """Train with one source and one seed, where its file is not there yet."""
    recipe, base, columns = SETTINGS[setting]
    if setting == "sup" and source == "mined":
        return  # its hard negatives are the data's own
    steps, name = STEPS[setting], f"{setting}-{source}"
    if budget == "time":
        fewer = round(steps / cost(source))
        if fewer > 0.98 * steps:
            return
        steps, name = fewer, f"{name}-equal_time"
    overrides = ["--negatives", json.dumps([*base, *SOURCES[source]]), *fixed_budget(steps)]
    if columns is not None:
        overrides += ["--columns", columns]
    if source == "mined":
        overrides += mined(setting, output)
    study([recipe], [seed], output, RUNS, [*overrides, *extra], name=name, same_start=f"{setting.split('_')[0]}*.json")


def fixed_budget(steps: int) -> list[str]:
    """Overrides: so many steps, and of the STS tasks none but STS-B."""
    every = str(-(-steps // EVALUATIONS))
    overrides = ["--max_steps", str(steps), "--eval_steps", every, "--save_steps", every, "--final_evaluation", "[]"]
    return [*overrides, "--test_data", str(data_folder() / "sts" / "STSB-test.tsv")]


def measure_average(path: Path) -> None:
    """Add the seven STS tasks to a run's file, where its model is still there."""
    model = RUNS / path.stem / "final"
    if not path.is_file() or not model.is_dir():
        return
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["after"].get("sts"):
        return
    from hf_contrastive.evaluation.report import EvaluationResults
    from hf_contrastive.evaluation.sources import resolve_sts_source
    from hf_contrastive.evaluation.sts import evaluate_sts
    from hf_contrastive.models import SentenceEncoder

    encoder = SentenceEncoder.from_pretrained(str(model))
    encode = partial(encoder.encode, bf16=True, progress=True)
    sts = evaluate_sts(encode, resolve_sts_source(str(data_folder() / "sts")))
    result["after"]["sts"] = EvaluationResults(path.stem, sts=sts).to_dict()["sts"]
    write_json(path, without_paths(result))


def mined(setting: str, output: Path) -> list[str]:
    """Overrides that train on sentences mined with the model of the plain run, which was trained before."""
    model = RUNS / f"{setting}-in_batch-42" / "final"
    path = RUNS / f"mined-{setting}.parquet"
    if not path.is_file():
        if not model.is_dir():
            raise RecipeError(f"{model}: train {setting} with in_batch first; its model mines the hard negatives")
        from hf_contrastive.recipe import load_recipe

        data = load_recipe(SETTINGS[setting][0], []).data
        command = [sys.executable, "-m", "hf_contrastive.cli", "mine", data.train_data, str(model)]
        command += ["--output", str(path), "--k", "1", "--bf16", "--max-percent", "0.95"]
        if data.max_train_rows is not None:
            command += ["--max-rows", str(data.max_train_rows)]
        if setting != "unsup":
            command += ["--anchor", "sent0", "--positive", "sent1"]
        subprocess.run(command, check=True)
    return ["--train_data", str(path), "--columns", "{anchor: anchor, positive: positive, negatives: [negative_1]}"]


def cost(source: str) -> float:
    """How much longer a step with this source takes than a plain one, as measured."""
    # Encoding the fresh sentences is nearly all that such a step costs beside a plain one, whoever chooses them.
    if source == "ace_bank":
        source = "ace_exact"
    elif source == "random" or source.startswith("ace_"):
        source = "ace_exact_fresh"
    return measured_ratio(RESULTS / "negatives_cost_cpu.json", source)


if __name__ == "__main__":
    start(main, allow_extra_args=True)
