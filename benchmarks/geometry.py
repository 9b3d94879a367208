"""Geometry of models beside each other: what the figures and the table of docs/look.md are made from.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/geometry.py base=FOLDER unsup=RUN [--pooler base=avg_first_last]

Measured as `hf-contrastive look` does, on STS-B dev, and STS-B test beside it. The JSON file is written after each
model; models stand in figures and table in the order in which they were measured.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from harness import RESULTS, Measurement, Results, data_folder, start, without_paths
from rich.console import Console
from rich.table import Table

from hf_contrastive.arguments import POOLERS, one_of
from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.evaluation.pairs import load_sts_pairs
from hf_contrastive.evaluation.sts import evaluate_pairs
from hf_contrastive.look.measure import check_pairs, distinct_sentences, measure
from hf_contrastive.look.subjects import find_subjects
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.loading import load_for_measuring
from hf_contrastive.models.static_encoder import StaticEncoder

OUTPUT = RESULTS / "geometry.json"
OWN = "its own"  # the pooler that the model's files name
# Of what `look` measures: no histograms, map and neighbours.
KEPT = ("dimension", "spearman", "alignment", "uniformity", "mean_cosine", "effective_rank", "spectrum")


def main(
    models: Annotated[list[str], typer.Argument(help="NAME=MODEL, repeatable: a folder, a run's folder, a Hub name.")],
    poolers: Annotated[
        list[str] | None, typer.Option("--pooler", help="NAME=POOLER, repeatable; default: the model's own.")
    ] = None,
    bf16: Annotated[bool, typer.Option(help="Encode in bfloat16.")] = False,
    output: Annotated[Path, typer.Option(help="JSON file.")] = OUTPUT,
) -> None:
    """Measure what the file lacks and print the table."""
    wanted = named(models, "MODEL")
    of_names = named(poolers or [], "POOLER")
    for name, pooler in of_names.items():
        one_of("pooler", pooler, POOLERS)
        if name not in wanted:
            raise RecipeError(f"--pooler {name}={pooler}: no model of that name; there are {', '.join(wanted)}")
    folders = published(wanted)
    sts = {part: data_folder() / "sts" / f"STSB-{part}.tsv" for part in ("dev", "test")}
    dev, test = (load_sts_pairs(path) for path in sts.values())
    check_pairs(dev, sts["dev"])
    settings = {"pairs": str(sts["dev"]), "test": str(sts["test"]), "bf16": bf16}
    results = Results(output, settings | {"sentences": len(distinct_sentences(dev))}, [], summarise)
    keys = [
        {"name": name, "model": without_paths(folders[name]), "pooler": of_names.get(name, OWN)} for name in wanted
    ]
    missing = [key for key in keys if not is_there(results, key)]

    def load(name: str) -> SentenceEncoder | StaticEncoder:
        return load_for_measuring(folders[name], pooler=of_names.get(name))

    for key in missing[1:]:  # a mistake in the last name must not wait until the first model is measured
        load(key["name"])
    for key in missing:
        Console(stderr=True).print(f"{key['name']}: {key['model']}", highlight=False, markup=False)
        encode = partial(load(key["name"]).encode, bf16=bf16)
        figures = measure(encode, dev, key["name"], key["model"], queries=()).to_dict()
        kept = {field: figures[field] for field in KEPT}
        kept["spectrum"] = [float(f"{value:.5g}") for value in kept["spectrum"]]
        test_spearman = evaluate_pairs(encode, test)["spearman"]
        results.add({**key, **kept, "test_spearman": test_spearman, "made_by": made_by(Path(folders[key["name"]]))})
    show(results.summary)


def named(given: list[str], what: str) -> dict[str, str]:
    """What stands behind NAME= by name."""
    found: dict[str, str] = {}
    for argument in given:
        name, sign, value = argument.partition("=")
        if not (sign and name and value):
            raise RecipeError(f"{argument}: expected NAME={what}")
        if name in found:
            raise RecipeError(f"{argument}: {name} is given twice; give each its own name")
        found[name] = value
    return found


def published(models: dict[str, str]) -> dict[str, str]:
    """The folder of each that has the model in it: of a run its final one."""
    subjects = find_subjects(list(models.values()), list(models))
    for subject in subjects:
        if subject.published is None:
            raise CheckpointError(f"{subject.model}: is a run that has not ended; come back when it has a model")
    return {subject.label: str(subject.published) for subject in subjects}


def made_by(folder: Path) -> str:
    """How a model came about, as the run or the whitening that left it says; empty where neither did."""
    fitted, trained = folder / "whitening.json", folder.parent / "results.json"
    if fitted.is_file():
        return f"whitening of {json.loads(fitted.read_text(encoding='utf-8'))['sentences']:,} sentences"
    if folder.name == "final" and trained.is_file():
        return f"{json.loads(trained.read_text(encoding='utf-8'))['steps']:,} steps"
    return ""


def is_there(results: Results, key: dict[str, Any]) -> bool:
    """Whether a model was measured; raises `RecipeError` where another has its name."""
    if not results.has(name=key["name"]) or results.has(**key):
        return results.has(**key)
    [old] = [made for made in results.measurements if made["name"] == key["name"]]
    raise RecipeError(
        f"{results.path}: {key['name']} is {old['model']}, pooler {old['pooler']}; give {key['model']}, pooler "
        f"{key['pooler']}, another name, or take the old one out of the file"
    )


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """Figures by name, without the spectra."""
    left_out = {"name", "model", "pooler", "spectrum"}
    return {made["name"]: {key: made[key] for key in made if key not in left_out} for made in measurements}


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    title = "on STS-B dev; Spearman x 100"
    table = Table("", "STS-B dev", "STS-B", "alignment", "uniformity", "mean cosine", "effective rank", title=title)
    for name, made in summary.items():
        scores = [f"{100 * made[key]:.2f}" for key in ("spearman", "test_spearman")]
        others = [f"{made[key]:.3f}" for key in ("alignment", "uniformity", "mean_cosine")]
        table.add_row(name, *scores, *others, f"{made['effective_rank']:.1f}")
    Console().print(table)


if __name__ == "__main__":
    start(main)
