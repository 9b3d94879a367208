"""docs/recipes.md has every key of ours as the dataclasses have it, and its recipes exist."""

import re
from pathlib import Path

import pytest
import recipe_page

from hf_contrastive.arguments import ContrastiveTrainingArguments, GraphNegativesArguments
from hf_contrastive.recipe import recipe_keys

ROOT = Path(__file__).parents[2]
TEXT = recipe_page.PAGE.read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert recipe_page.with_keys(TEXT) == TEXT, "run `python scripts/recipe_page.py`"


def test_keys_are_ours_alone_and_all_of_them() -> None:
    ours = recipe_page.own_keys(ContrastiveTrainingArguments)
    assert "temperature" in ours and "dataloader_drop_last" in ours and "max_steps" not in ours
    assert "sampler_configs" not in recipe_page.own_keys(GraphNegativesArguments)
    tables = recipe_page.tables("sentences")
    listed = re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE)
    assert len(listed) == len(set(listed)) and set(listed) <= set(recipe_keys())
    assert "| `fast_dropout` | `true` |" in tables and "| `train_data` | required |" in tables


def test_what_is_out_of_date_is_written_anew_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "recipes.md"
    page.write_text(TEXT.replace("| `temperature` | `0.05` |", "| `temperature` | `0.5` |"), encoding="utf-8")
    monkeypatch.setattr(recipe_page, "PAGE", page)
    with pytest.raises(SystemExit, match=r"recipes.md: keys out of date; run `python scripts/recipe_page.py`"):
        recipe_page.main(check=True)
    recipe_page.main()
    assert page.read_text(encoding="utf-8") == TEXT
    recipe_page.main(check=True)
    with pytest.raises(ValueError, match="no `<!-- keys: words -->` with its end"):
        recipe_page.with_keys(TEXT.replace("<!-- end of keys: words -->", ""))


def test_recipes_that_are_named_exist_and_all_are_named() -> None:
    named = re.findall(r"^\| (`recipes/.*?) \|", TEXT, re.MULTILINE)
    patterns = [pattern for cell in named for pattern in re.findall(r"`([^`]+)`", cell)]
    folder, found = "", set()
    for pattern in patterns:
        folder, _, last = pattern.rpartition("/") if "/" in pattern else (folder, "", pattern)
        matches = set((ROOT / folder).glob(last or "*.yaml"))
        assert matches, pattern
        found |= matches
    assert found == set((ROOT / "recipes").glob("*/*.yaml"))
