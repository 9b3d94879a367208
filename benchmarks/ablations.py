"""SimCSE's ablations on one checkpoint: augmentations, dropout rates and poolers, at a small fixed budget.

    python benchmarks/ablations.py [--tables dropout] [--rows 0.01] [--seeds 43] [-- --key value ...]

One run after the other, each in a process of its own; a JSON file a run, so that a study that was cut off goes on
where it stopped. Steps and measurements are those of `negatives_study.py`, whose plain runs are rows of these tables:
they are looked up beside the results, in `negatives_study/`, and run there where they are missing.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import negatives_study
import typer
from curves import by_name
from harness import RESULTS, start
from rich.console import Console
from simcse_study import show, study

from hf_contrastive.augmentations import build_augmentation
from hf_contrastive.errors import RecipeError
from hf_contrastive.recipe import load_recipe

OUTPUT = RESULTS / "ablations"
RUNS = Path("runs/ablations")


class Row(NamedTuple):
    """A run of a recipe of recipes/simcse; without one, the plain run of a setting of `negatives_study.py`."""

    setting: str
    recipe: str | None = None
    overrides: tuple[str, ...] = ()


def augmented(name: str, **options: Any) -> Row:
    """An augmentation of the corpus that the plain run has."""
    return Row("unsup", "augmentation-distilbert", ("--augmentation", json.dumps({"name": name, **options})))


def running_text(augmentation: Any) -> Row:
    """An augmentation, or dropout alone, on sentences that follow each other."""
    return Row("unsup", "next-sentence-distilbert", ("--augmentation", json.dumps(augmentation)))


def dropout(*overrides: str) -> Row:
    return Row("unsup", "dropout-distilbert", overrides)


def pooled(setting: str, pooler: str, head: str = "none") -> Row:
    return Row(setting, f"{setting}-distilbert", ("--pooler", pooler, "--head", head))


TABLES: dict[str, dict[str, Row]] = {
    "augmentations": {
        "none": Row("unsup"),
        **{f"crop_{percent}": augmented("crop", share=percent / 100) for percent in (10, 20, 30)},
        **{f"word_deletion_{percent}": augmented("word_deletion", share=percent / 100) for percent in (10, 20, 30)},
        "delete_one_word": augmented("delete_one_word"),
        "synonym": augmented("synonym"),
        "mlm_15": augmented("mlm", share=0.15),
        "mask_15": augmented("mask", share=0.15),
        "next_sentence_1": running_text({"name": "next_sentence", "within": 1}),
        "next_sentence_3": running_text({"name": "next_sentence", "within": 3}),
        "none_running_text": running_text(None),  # the text of the two before it is not that of the others
        "two_encoders": Row("unsup", "unsup-distilbert", ("--two_encoders", "true")),
    },
    "dropout": {
        **{rate: dropout("--dropout", rate) for rate in ("0", "0.01", "0.05")},
        "0.1": Row("unsup"),
        **{rate: dropout("--dropout", rate) for rate in ("0.15", "0.2", "0.5")},
        "same_mask": dropout("--same_dropout_mask", "true"),
    },
    "poolers": {
        "unsup_cls_mlp": pooled("unsup", "cls", "kept"),
        "unsup_cls_mlp_training": pooled("unsup", "cls", "train_only"),
        "unsup_cls": pooled("unsup", "cls"),
        "unsup_avg_first_last": Row("unsup"),
        "unsup_avg": pooled("unsup", "avg"),
        "sup_cls_mlp": pooled("sup", "cls", "kept"),
        "sup_cls_mlp_training": pooled("sup", "cls", "train_only"),
        "sup_cls": pooled("sup", "cls"),
        "sup_avg_first_last": pooled("sup", "avg_first_last"),
        "sup_avg": Row("sup"),
    },
}
ROWS = list(dict.fromkeys(row for rows in TABLES.values() for row in rows))


def main(
    context: typer.Context,
    tables: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(TABLES)}.")] = None,
    rows: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(ROWS)}.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Repeatable; default: 42.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the JSON files; shared ones are beside it.")] = OUTPUT,
) -> None:
    """Run what is missing, seed by seed, and show each table."""
    wanted = chosen(tables, rows)
    if ("augmentations", "mlm_15") in wanted and (problem := no_masked_language_model(context.args)):
        if rows:
            raise problem
        Console(stderr=True).print(f"mlm_15 is left out: {problem}", markup=False)
        wanted.remove(("augmentations", "mlm_15"))
    for seed in seeds or [42]:
        for table, row in wanted:
            run_one(table, row, seed, output, context.args)
    plain = by_name(output.parent / "negatives_study", "*-in_batch-*.json")
    for table in dict.fromkeys(table for table, _ in wanted):
        shared = {f"{row.setting}-in_batch" for row in TABLES[table].values() if row.recipe is None}
        show({name: plain[name] for name in plain if name in shared} | by_name(output, f"{table}-*.json"))


def chosen(tables: Sequence[str] | None, rows: Sequence[str] | None) -> list[tuple[str, str]]:
    """Tables and their rows.

    Raises:
        RecipeError: a table that there is not, or a row that none of the tables has.
    """
    for name in tables or ():
        if name not in TABLES:
            raise RecipeError(f"--tables: unknown table {name!r}; choose from {', '.join(TABLES)}")
    pairs = [(table, row) for table in dict.fromkeys(tables or TABLES) for row in TABLES[table]]
    known = list(dict.fromkeys(row for _, row in pairs))
    for name in rows or ():
        if name not in known:
            raise RecipeError(f"--rows: unknown row {name!r}; choose from {', '.join(known)}")
    return [(table, row) for table, row in pairs if row in (rows or known)]


def no_masked_language_model(extra: Sequence[str]) -> RecipeError | None:
    """Why the checkpoint cannot predict hidden words, where it cannot."""
    _, recipe, overrides = TABLES["augmentations"]["mlm_15"]
    loaded = load_recipe(negatives_study.SIMCSE / f"{recipe}.yaml", [*overrides, *extra])
    try:
        build_augmentation(loaded.data.augmentation_config or "mlm", checkpoint=loaded.model.model_name_or_path)
    except RecipeError as error:
        return error
    return None


def run_one(table: str, name: str, seed: int, output: Path, extra: Sequence[str]) -> None:
    """Train one row with one seed, where its file is not there yet."""
    setting, recipe, overrides = TABLES[table][name]
    if recipe is None:
        negatives_study.run_one(setting, "in_batch", seed, "steps", output.parent / "negatives_study", list(extra))
        return
    budget = negatives_study.fixed_budget(negatives_study.STEPS[setting])
    path = negatives_study.SIMCSE / f"{recipe}.yaml"
    # Before training all rows are one checkpoint with one pooler.
    study([path], [seed], output, RUNS, [*overrides, *budget, *extra], name=f"{table}-{name}", same_start="*.json")


if __name__ == "__main__":
    start(main, allow_extra_args=True)
