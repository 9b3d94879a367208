"""`benchmarks/recipes.py`: recipes by their names, each run once."""

from pathlib import Path

import pytest

import recipes
from hf_contrastive.errors import RecipeError


class Context:
    args: list[str] = []


def test_recipes_are_run_by_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def study(paths: list[Path], seeds: list[int], output: Path, runs: Path, overrides: list[str], **named: object):
        asked.append((paths[0].name, paths[0].is_file(), seeds, named["name"]))
        return {named["name"]: [{"train_seconds": 1.0}]}

    monkeypatch.setattr(recipes, "study", study)
    recipes.main(Context(), ["kg/wn18rr-complex", "hypernymy/wordnet"], [1, 2], tmp_path)  # type: ignore[arg-type]
    assert asked == [
        ("wn18rr-complex.yaml", True, [1, 2], "kg-wn18rr-complex"),
        ("wordnet.yaml", True, [1, 2], "hypernymy-wordnet"),
    ]
    with pytest.raises(RecipeError, match="kg/none: no such recipe; there are .*kg/transe"):
        recipes.main(Context(), ["hypernymy/wordnet", "kg/none"], None, tmp_path)  # type: ignore[arg-type]
    assert len(asked) == 2
