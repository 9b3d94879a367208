"""The model card of a finished run, made of its `results.json` and of the folder to publish."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData, eval_result_entries_to_yaml

from hf_contrastive.arguments import is_hub_name
from hf_contrastive.errors import CheckpointError
from hf_contrastive.files import whole_file
from hf_contrastive.hub.citations import citations
from hf_contrastive.hub.kinds import ADAPTER_SUMMARY, ADAPTER_TAGS, KINDS, limits
from hf_contrastive.hub.pictures import draw_pictures
from hf_contrastive.hub.recipe_text import portable, portable_recipe, recipe_yaml, sampler_names, settings
from hf_contrastive.hub.scores import Row, eval_entries, eval_results, rows
from hf_contrastive.hub.serving import serving_limit
from hf_contrastive.hub.usage import is_adapter, usage
from hf_contrastive.hub.validate import validate_card

TEMPLATE = Path(__file__).with_name("card.md.jinja")
EVAL_RESULTS = ".eval_results/test.yaml"


def read_results(run: Path) -> dict[str, Any]:
    """What a finished run left in `results.json`.

    Raises:
        CheckpointError: it is not there, or was not left by a run.
    """
    path = run / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; name the output_dir of a finished run") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); start the run again, it will measure anew") from error
    missing = [key for key in ("after", "recipe", "environment", "steps") if key not in results]
    if missing:
        raise CheckpointError(f"{path}: no key {missing[0]}; name the output_dir of a finished run")
    return dict(results)


def write_cards(run: Path, results: dict[str, Any], others: Sequence[dict[str, Any]] = ()) -> list[Path]:
    """Write the card of the model in `final/` and, where LoRA was trained, of its adapters in `adapter/`.

    Args:
        run: `output_dir` of a finished run.
        results, others: as in `write_card`.

    Returns:
        The cards' paths, that of the model first.

    Raises:
        CheckpointError: as `write_card`.
    """
    folders = [run / "final", *([run / "adapter"] if is_adapter(run / "adapter") else [])]
    return [write_card(folder, results, others) for folder in folders]


def write_card(folder: Path, results: dict[str, Any], others: Sequence[dict[str, Any]] = ()) -> Path:
    """Write `README.md`, its pictures and `.eval_results/` into a model folder; the same input gives the same bytes.

    Args:
        folder: what a run left in `final/` or `adapter/`.
        results: what the run left in `results.json`.
        others: the same of runs that differ in their seed alone; tables then give mean and standard deviation.

    Returns:
        The card's path.

    Raises:
        CheckpointError: no model in `folder`, or a run in `others` of another recipe.
    """
    if not (folder / "config.json").is_file() and not is_adapter(folder):
        raise CheckpointError(f"{folder}: no config.json; name the folder final/ of a finished run")
    _check_same_but_seed(results, others)
    table = rows([results, *others])
    pictures = draw_pictures(folder, results)
    content = render_card(folder, results, others, table, pictures)
    validate_card(content, folder)
    entries = eval_entries([row.score for row in table])
    target = folder / EVAL_RESULTS
    target.unlink(missing_ok=True)
    if entries:
        with whole_file(target) as partial:
            partial.write_text(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False), encoding="utf-8")
    with whole_file(folder / "README.md") as partial:
        partial.write_text(content, encoding="utf-8")
    return folder / "README.md"


def render_card(
    folder: Path,
    results: dict[str, Any],
    others: Sequence[dict[str, Any]],
    table: Sequence[Row],
    pictures: dict[str, str],
) -> str:
    """The card's text, front matter included."""
    recipe = results["recipe"]
    task = recipe.get("task", "sentences")
    kind, values = KINDS[task], settings(recipe)
    name = _name(folder, recipe)
    samplers = _samplers(values)
    base, datasets = _base_model(recipe), _datasets(recipe)
    adapter = is_adapter(folder)
    unserved = serving_limit(folder) if task == "sentences" else None
    seen = ", ".join(part.rstrip("/").rpartition("/")[2] for part in portable(recipe["train_data"]).split(","))
    runs = [results, *others]
    language = recipe.get("card_language", "").split()
    data = ModelCardData(
        library_name="peft" if adapter else kind["library"],
        pipeline_tag=kind["pipeline"],
        base_model=base,
        base_model_relation="adapter" if adapter and base else None,
        datasets=[one for one in datasets if "/" in one] or None,
        language=language[0] if len(language) == 1 else language or None,
        license=recipe.get("card_license"),
        tags=list(
            dict.fromkeys(
                [
                    *(ADAPTER_TAGS if adapter else kind["tags"]),
                    "contrastive-learning",
                    "hf_contrastive",
                    *samplers,
                    *recipe.get("card_tags", "").split(),
                ]
            )
        ),
        metrics=list(dict.fromkeys(row.score.metric for row in table)) or None,
        model_name=name,
        eval_results=eval_results([row.score for row in table]) or None,
    )
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        name=name,
        summary=f"{kind['summary']} {ADAPTER_SUMMARY}" if adapter else kind["summary"],
        base_model=base or portable(recipe.get("model_name_or_path", "")),
        datasets=", ".join(datasets) or seen,
        usage=usage(task, folder, base),
        rows=table,
        has_before=any(row.score.before is not None for row in table),
        results_note=_results_note(results, others, table),
        pictures=[{"file": file, "about": about} for file, about in pictures.items()],
        negatives=_negatives(values, samplers),
        settings=[(key, _cell(values[key])) for key in kind["shown"] if _says_something(key, values, recipe)],
        steps=f"{results['steps']:,}",
        seconds=_seconds([run["train_seconds"] for run in runs]),
        hardware=" and ".join(dict.fromkeys(_hardware(run) for run in runs)),
        versions=_versions(results["environment"]),
        command=_command(results),
        recipe=recipe_yaml(portable_recipe(recipe)),
        limits=[*limits(task, values, seen), *([unserved] if unserved else [])],
        citations=citations(task, values, samplers),
    )
    return f"{str(card).rstrip()}\n"


def _check_same_but_seed(results: dict[str, Any], others: Sequence[dict[str, Any]]) -> None:
    first = {**portable_recipe(results["recipe"]), "seed": _seed(results)}
    seeds = {_seed(results)}
    for other in others:
        second = {**portable_recipe(other["recipe"]), "seed": _seed(other)}
        differ = sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))
        if differ != ["seed"] or _seed(other) in seeds:
            what = f"differ in {', '.join(differ)}" if differ else "are of the same recipe and seed"
            if differ == ["seed"]:
                what = f"have seed {_seed(other)} twice"
            raise CheckpointError(f"runs to be averaged differ in seed alone; these {what}")
        seeds.add(_seed(other))


def _seed(results: dict[str, Any]) -> str:
    return str(settings(results["recipe"])["seed"])


def _name(folder: Path, recipe: dict[str, str]) -> str:
    for key in ("hub_model_id", "output_dir"):
        if recipe.get(key):
            return Path(recipe[key]).name
    return folder.resolve().parent.name


def _base_model(recipe: dict[str, str]) -> str | None:
    """A Hub name that the recipe gives, or that its model is loaded by."""
    given = recipe.get("card_base_model") or recipe.get("model_name_or_path")
    is_folder = given is not None and (given.startswith((".", "~", "/")) or Path(given).exists())
    return None if given is None or is_folder or not is_hub_name(given) else given


def _datasets(recipe: dict[str, str]) -> list[str]:
    if "card_datasets" in recipe:
        return recipe["card_datasets"].split()
    given = recipe["train_data"]
    is_file = given.startswith((".", "~", "/")) or Path(given).exists() or "," in given or "*" in given
    return [given] if not is_file and is_hub_name(given) and "/" in given and not Path(given).suffix else []


def _samplers(values: dict[str, Any]) -> list[str]:
    if values.get("objective") in ("softmax", "hierarchical_softmax", "softmax_classifier"):
        return []
    return sampler_names(values["negatives"])


def _negatives(values: dict[str, Any], samplers: list[str]) -> str:
    if not samplers:
        return f"none; objective {values['objective']} has no use for them"
    return f"{', '.join(samplers)} (`negatives: {portable(str(values['negatives']))}`)"


def _says_something(key: str, values: dict[str, Any], recipe: dict[str, str]) -> bool:
    if key == "num_train_epochs" and str(values.get("max_steps", -1)) != "-1":
        return False
    return key in recipe or values.get(key) not in (None, 0, 0.0, -1, False, "none")


def _cell(value: Any) -> str:
    return portable(str(getattr(value, "value", value))).replace("|", "\\|")


def _results_note(results: dict[str, Any], others: Sequence[dict[str, Any]], table: Sequence[Row]) -> str:
    ranks = ", except ranks" if any(row.score.metric == "mean_rank" for row in table) else ""
    note = f"Times 100{ranks}."
    if others:
        seeds = ", ".join(_seed(run) for run in [results, *others])
        note += (
            f" Mean ± standard deviation over seeds {seeds}; weights and recipe are those of seed {_seed(results)}."
        )
    else:
        note += f" One run, seed {_seed(results)}: another seed gives other figures."
    if results.get("before"):
        note += f" Before: {results['before']['name'].removeprefix('before training, ')}."
    not_comparable = ((results["after"].get("sts") or {}).get("not_comparable")) or []
    if not_comparable:
        note += f" Not on the published test set, so not comparable: {', '.join(not_comparable)}."
    return note


def _seconds(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):,.0f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):,.0f}{spread}"


def _hardware(results: dict[str, Any]) -> str:
    where, processes = results["environment"], results.get("processes", 1)
    on_cpu = str(settings(results["recipe"])["use_cpu"]).lower() == "true"
    gpus = [] if on_cpu else where.get("gpus") or []
    machine = (
        " and ".join(dict.fromkeys(gpus))
        if gpus
        else f"{where['cpu']}, {where['cores']} core{'s' * (where['cores'] != 1)}"
    )
    return f"{machine}{f', {processes} processes' if processes > 1 else ''}"


def _versions(where: dict[str, Any]) -> str:
    names = "hf_contrastive torch transformers datasets accelerate sentence_transformers peft python".split()
    return ", ".join(f"{name} {where[name]}" for name in names if name in where)


def _command(results: dict[str, Any]) -> str:
    processes = results.get("processes", 1)
    if processes == 1:
        return "hf-contrastive train recipe.yaml"
    launch = results.get("launch") or {}
    options = "".join(f" --{key} {value}" if value is not True else f" --{key}" for key, value in launch.items())
    return f"accelerate launch --num_processes {processes}{options} -m hf_contrastive.train recipe.yaml"
