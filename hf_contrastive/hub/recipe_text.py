"""A recipe as strangers may read it: no folder of this machine, no account, no token."""

import json
import os
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from hf_contrastive import arguments
from hf_contrastive.arguments import parse_structure

# Of this machine or this start; another run has its own.
_LEFT_OUT = frozenset(
    {
        "cache_dir",
        "disable_tqdm",
        "log_level",
        "output_dir",
        "project",
        "push_to_hub",
        "report_to",
        "resume_from_checkpoint",
        "run_name",
        "save_total_limit",
        "trackio_space_id",
    }
)
_PATH = re.compile(r"(?<![\w/.:}~-])(?:\.\./|~\w*/|/|[A-Za-z]:[\\/])[^\s,'\"\]})]*")
_ARGUMENTS: dict[str, tuple[type, ...]] = {
    "sentences": (
        arguments.ModelArguments,
        arguments.DataArguments,
        arguments.NegativesArguments,
        arguments.EvaluationArguments,
        arguments.ContrastiveTrainingArguments,
    ),
    "words": (
        arguments.WordModelArguments,
        arguments.WordDataArguments,
        arguments.WordNegativesArguments,
        arguments.WordEvaluationArguments,
        arguments.WordTrainingArguments,
    ),
    "graph": (
        arguments.GraphModelArguments,
        arguments.GraphDataArguments,
        arguments.GraphNegativesArguments,
        arguments.GraphEvaluationArguments,
        arguments.GraphTrainingArguments,
    ),
    "hypernymy": (
        arguments.OrderModelArguments,
        arguments.OrderDataArguments,
        arguments.GraphNegativesArguments,
        arguments.OrderTrainingArguments,
    ),
}


def portable(value: str) -> str:
    """`value` without folders of this machine: below `HF_CONTRASTIVE_DATA` as that variable, else the name alone."""
    data = os.environ.get("HF_CONTRASTIVE_DATA")
    if data:
        value = re.sub(rf"{re.escape(data.rstrip('/'))}(?=/)", "${HF_CONTRASTIVE_DATA}", value)
    if value.startswith(("/", "~", "../")) and "," not in value:  # one path, perhaps with spaces
        return Path(value).name
    return _PATH.sub(lambda found: re.split(r"[\\/]", found[0].rstrip("\\/"))[-1], value)


def portable_recipe(text: dict[str, str]) -> dict[str, str]:
    """The keys of a recipe that another machine can use, with portable values."""
    return {
        key: portable(value)
        for key, value in text.items()
        if key not in _LEFT_OUT and not key.startswith(("hub_", "card_"))
    }


def recipe_yaml(text: dict[str, str]) -> str:
    """A recipe file of these keys and values; `load_recipe` reads it back to the same text."""
    lists = _list_keys(text.get("task", "sentences"))
    lines = []
    for key, value in text.items():
        if key in lists:
            shown = f"[{', '.join(_plain(item) for item in value.split())}]" if value != "[]" else value
        else:
            shown = _plain(value)
        lines.append(f"{key}: {shown}")
    return "\n".join(lines)


def settings(text: dict[str, str]) -> dict[str, Any]:
    """Every key of a task with its value: the recipe's, as text, else its default."""
    defaults = {
        field.name: field.default for kind in _ARGUMENTS[text.get("task", "sentences")] for field in fields(kind)
    }
    return {key: None if value is MISSING else value for key, value in defaults.items()} | dict(text)


def sampler_names(negatives: Any) -> list[str]:
    """Names of the sources in a recipe's `negatives`, those inside others too, each once."""
    found: list[str] = []

    def visit(part: Any) -> None:
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, list):
            for item in part:
                visit(item)
        elif isinstance(part, dict):
            found.append(str(part.get("name")))
            for inner in ("part", "parts", "noise"):
                visit(part.get(inner))

    visit(parse_structure("negatives", negatives))
    return list(dict.fromkeys(found))


def _list_keys(task: str) -> set[str]:
    kinds = (*_ARGUMENTS[task], arguments.CardArguments)
    return {field.name for kind in kinds for field in fields(kind) if "list" in str(field.type)}


def _plain(value: str) -> str:
    """`value` as it stands where YAML reads it as one value, else between quotes."""
    try:
        node = yaml.compose(f"key: {value}", Loader=yaml.SafeLoader)
        read = node.value[0][1] if isinstance(node, yaml.MappingNode) and len(node.value) == 1 else None
    except yaml.YAMLError:
        read = None
    whole = isinstance(read, yaml.CollectionNode) or (
        isinstance(read, yaml.ScalarNode) and read.value == value and read.tag != "tag:yaml.org,2002:null"
    )
    return value if whole else json.dumps(value, ensure_ascii=False)
