"""A YAML recipe and command-line overrides, made into typed arguments; whatever is unknown or ill-typed is refused.

Values reach the dataclasses as the text that stands in the file, through the same parser as the command line: `2e-5`
is a number where a number is wanted, `no` is a strategy where a strategy is wanted. `${NAME}` in a value is the
environment variable NAME, `${NAME:-other}` has a default.
"""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from hf_contrastive.arguments import (
    CardArguments,
    ContrastiveTrainingArguments,
    DataArguments,
    EvaluationArguments,
    GraphDataArguments,
    GraphEvaluationArguments,
    GraphModelArguments,
    GraphNegativesArguments,
    GraphTrainingArguments,
    ModelArguments,
    NegativesArguments,
    OrderDataArguments,
    OrderModelArguments,
    OrderTrainingArguments,
    WordDataArguments,
    WordEvaluationArguments,
    WordModelArguments,
    WordNegativesArguments,
    WordTrainingArguments,
    one_of,
)
from hf_contrastive.errors import RecipeError, did_you_mean

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_YAML_FIELDS = frozenset({"augmentation", "columns", "negatives"})  # nested values, parsed by their dataclass
# By task: model, data, negatives, evaluation where there is something to say of it, card, training.
_GROUPS: dict[str, Any] = {
    "sentences": [
        ModelArguments,
        DataArguments,
        NegativesArguments,
        EvaluationArguments,
        CardArguments,
        ContrastiveTrainingArguments,
    ],
    "words": [
        WordModelArguments,
        WordDataArguments,
        WordNegativesArguments,
        WordEvaluationArguments,
        CardArguments,
        WordTrainingArguments,
    ],
    "graph": [
        GraphModelArguments,
        GraphDataArguments,
        GraphNegativesArguments,
        GraphEvaluationArguments,
        CardArguments,
        GraphTrainingArguments,
    ],
    "hypernymy": [
        OrderModelArguments,
        OrderDataArguments,
        GraphNegativesArguments,
        CardArguments,
        OrderTrainingArguments,
    ],
}


@dataclass
class Recipe:
    """Typed arguments, those of its task, and the text they were made of."""

    task: str
    model: Any
    data: Any
    negatives: Any
    evaluation: Any
    training: Any
    text: dict[str, str]
    """Every key that was given, with its value as text, overrides applied."""


@dataclass
class _Entry:
    value: str | list[str]
    where: str


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RecipeError(message)


def load_recipe(path: str | Path | None, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `--key value` overrides.

    Args:
        path: YAML file; `None` takes everything from the overrides.
        overrides: as on a command line, `["--learning_rate", "1e-5", "--bf16"]`.

    Raises:
        RecipeError: file missing or not YAML, key unknown (with the nearest known one) or given twice, value of the
            wrong type, value refused by the arguments; the message names file, line and key.
    """
    entries = _read_yaml(Path(path)) if path is not None else {}
    entries.update(_read_overrides(list(overrides)))
    task = _task(entries)
    parser = _Parser(_GROUPS[task], allow_abbrev=False)
    actions = _actions(parser)
    argv: list[str] = []
    for key, entry in entries.items():
        if key not in actions:
            hint = did_you_mean(key, actions, "`hf-contrastive keys` lists them")
            raise RecipeError(f"{entry.where}: unknown key {key!r}{hint}")
        entry.value = _checked(key, entry, actions[key], parser)
        argv += [f"--{key}={entry.value}"] if isinstance(entry.value, str) else [f"--{key}", *entry.value]
    if "hub_token" in entries:
        raise RecipeError(
            f"{entries['hub_token'].where}: hub_token would be written into recipe.json and results.json; leave it "
            "out, and log in with `hf auth login` or set HF_TOKEN"
        )
    for action in actions.values():
        if action.required and action.dest not in entries:
            raise RecipeError(f"{path or 'command line'}: key {action.dest!r} is missing; {action.help}")
    try:
        parts = parser.parse_args_into_dataclasses(args=argv, look_for_args_file=False)
    except RecipeError as error:
        key = str(error).partition(":")[0]
        raise RecipeError(f"{entries[key].where}: {error}" if key in entries else str(error)) from error
    except (ValueError, ImportError) as error:
        raise RecipeError(f"{path or 'command line'}: {error}") from error
    model, data, negatives, *evaluation, _, training = parts
    text = {key: " ".join(e.value) if isinstance(e.value, list) else e.value for key, e in entries.items()}
    if task != "sentences":
        text["task"] = task
    return Recipe(task, model, data, negatives, evaluation[0] if evaluation else None, training, text)


def recipe_keys(task: str = "sentences") -> dict[str, tuple[str, str]]:
    """Every key a recipe can have: its default as text ("required" where it has none) and what it means."""
    one_of("task", task, tuple(_GROUPS))
    actions = _actions(_Parser(_GROUPS[task], allow_abbrev=False))
    about = {"task": ("sentences", f"What is trained: {', '.join(_GROUPS)}.")}
    return about | {
        key: ("required" if action.required else str(action.default), " ".join((action.help or "").split()))
        for key, action in actions.items()
    }


def _task(entries: dict[str, _Entry]) -> str:
    """Take the key `task` out of the entries; it says which others there are."""
    entry = entries.pop("task", None)
    if entry is None:
        return "sentences"
    try:
        one_of("task", str(entry.value), tuple(_GROUPS))
    except RecipeError as error:
        raise RecipeError(f"{entry.where}: {error}") from None
    return str(entry.value)


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    actions: dict[str, argparse.Action] = {}
    for action in parser._actions:
        if action.dest != "help":
            actions.setdefault(action.dest, action)  # behind one that is true by default comes its --no_ form
    return actions


def _read_yaml(path: Path) -> dict[str, _Entry]:
    if not path.is_file():
        raise RecipeError(f"{path}: no such recipe file")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError(f"{path}: a recipe is a list of `key: value` lines")
    entries: dict[str, _Entry] = {}
    for key_node, value_node in root.value:
        key, where = str(key_node.value), f"{path}, line {key_node.start_mark.line + 1}"
        if key in entries:
            raise RecipeError(f"{where}: key {key!r} is given twice (first: {entries[key].where})")
        value = _node_text(key, value_node, where)
        if value is not None:
            entries[key] = _Entry(value, where)
    return entries


def _node_text(key: str, node: yaml.Node, where: str) -> str | list[str] | None:
    """A value as the text in the file; `None` for null, which leaves the default."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:null":
            return None
        return _expand(node.value, key, where)
    if key not in _YAML_FIELDS and isinstance(node, yaml.SequenceNode):
        if not all(isinstance(item, yaml.ScalarNode) for item in node.value):
            raise RecipeError(f"{where}: {key} takes a list of plain values")
        return [_expand(item.value, key, where) for item in node.value]
    return _expand(yaml.serialize(_flow(node)).strip(), key, where)


def _flow(node: yaml.Node) -> yaml.Node:
    """The same node, to be written on one line."""
    if isinstance(node, yaml.CollectionNode):
        node.flow_style = True
        for item in node.value:
            for child in item if isinstance(item, tuple) else (item,):
                _flow(child)
    return node


def _read_overrides(argv: list[str]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    key = None
    for token in argv:
        if token.startswith("--"):
            key, _, value = token[2:].partition("=")
            key = key.replace("-", "_")
            entries[key] = _Entry([value] if "=" in token else [], f"command line, --{key}")
        elif key is None:
            raise RecipeError(f"command line: {token!r} belongs to no --key")
        else:
            values = entries[key].value
            assert isinstance(values, list)
            values.append(token)
    for key, entry in entries.items():
        entry.value = [_expand(value, key, entry.where) for value in entry.value]
        if not entry.value:
            entry.value = "true"  # a bare --flag
        elif len(entry.value) == 1:
            entry.value = entry.value[0]
    return entries


def _expand(value: str, key: str, where: str) -> str:
    def replace(match: re.Match[str]) -> str:
        name, default = match.groups()
        if os.environ.get(name):
            return os.environ[name]
        if default is None:
            raise RecipeError(
                f"{where}: {key} needs the environment variable {name}, which is not set; set it, or give --{key}"
            )
        return default

    return _VARIABLE.sub(replace, value)


def _checked(key: str, entry: _Entry, action: argparse.Action, parser: argparse.ArgumentParser) -> str | list[str]:
    """The entry's value, once its type and choices are known to fit."""
    takes_list = action.nargs in ("+", "*")
    if takes_list and entry.value in ([], "[]"):
        action.nargs = "*"  # the dataclass parser wants at least one
        return []
    if takes_list and isinstance(entry.value, str):
        entry.value = [entry.value]
    if not takes_list and isinstance(entry.value, list):
        raise RecipeError(f"{entry.where}: {key} takes one value, got the list {entry.value}")
    for value in entry.value if isinstance(entry.value, list) else [entry.value]:
        try:
            typed = parser._get_value(action, value)
            parser._check_value(action, typed)
        except argparse.ArgumentError as error:
            wanted = getattr(action.type, "__name__", "value").replace("string_to_", "")
            detail = f"must be of type {wanted}" if "invalid" in str(error) and not action.choices else error.message
            raise RecipeError(f"{entry.where}: {key}: {value!r} does not fit; {detail}") from None
    return entry.value
