"""Rewrite the tables of keys in docs/recipes.md from the dataclasses that hold them.

    python scripts/recipe_page.py            write
    python scripts/recipe_page.py --check    change nothing; exit 1 where the page is out of date

The tables of a task stand between `<!-- keys: TASK -->` and `<!-- end of keys: TASK -->`.
"""

import re
from dataclasses import fields
from inspect import get_annotations
from pathlib import Path
from typing import Annotated

import typer

from hf_contrastive.recipe import _GROUPS, recipe_keys

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"
BLOCK = re.compile(r"(<!-- keys: (\w+) -->\n)(.*?)(<!-- end of keys: \2 -->)", re.DOTALL)


def main(
    check: Annotated[bool, typer.Option("--check", help="Change nothing, exit 1 if anything would.")] = False,
) -> None:
    """Rewrite docs/recipes.md."""
    text = PAGE.read_text(encoding="utf-8")
    new = with_keys(text)
    if check and new != text:
        raise SystemExit(f"error: {PAGE.name}: keys out of date; run `python scripts/recipe_page.py`")
    PAGE.write_text(new, encoding="utf-8")


def with_keys(text: str) -> str:
    """`text` with the keys of each task between its markers.

    Raises:
        ValueError: a task without its markers.
    """
    missing = set(_GROUPS) - {match[2] for match in BLOCK.finditer(text)}
    if missing:
        raise ValueError(f"no `<!-- keys: {missing.pop()} -->` with its end")
    return BLOCK.sub(lambda block: block[1] + tables(block[2]) + block[4], text)


def tables(task: str) -> str:
    """A table for each dataclass of a task, in the order of a recipe's sections: key, default, meaning."""
    known = recipe_keys(task)
    sections = []
    for group in _GROUPS[task]:
        title = (group.__doc__ or "").strip().splitlines()[0].removesuffix(".")
        rows = [f"| `{key}` | {_default(known[key][0])} | {_cell(known[key][1])} |" for key in own_keys(group)]
        sections.append("\n".join([f"**{title}**", "", "| key | default | meaning |", "|---|---|---|", *rows]))
    return "\n" + "\n\n".join(sections) + "\n\n"


def own_keys(group: type) -> list[str]:
    """The keys a dataclass declares itself, or inherits from another of ours; not those of `TrainingArguments`."""
    ours = [base for base in group.__mro__ if base.__module__.startswith("hf_contrastive")]
    declared = {name for base in ours for name in get_annotations(base)}
    return [each.name for each in fields(group) if each.name in declared and each.init]


def _default(text: str) -> str:
    as_yaml = {"None": "", "required": "required", "True": "`true`", "False": "`false`"}
    return as_yaml.get(text, f"`{_cell(text)}`")


def _cell(text: str) -> str:
    """Text of a Markdown table's cell, in which | would end it."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    typer.run(main)
