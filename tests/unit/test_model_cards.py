"""model_cards/: made from results alone, over their seeds, and up to date in this repository."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

import model_cards

pytest.importorskip("matplotlib")  # without it cards have no pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the models of this repository one of sentences, over three seeds, and one with a curve."""
    chosen = {name: model_cards.MODELS[name] for name in ("unsup-distilbert", "wordnet-order")}
    monkeypatch.setattr(model_cards, "MODELS", chosen)
    monkeypatch.setattr(model_cards, "ROOT", tmp_path)
    for folder, runs in chosen.values():
        target = tmp_path / "benchmarks/results" / folder
        target.mkdir(parents=True)
        for path in (ROOT / "benchmarks/results" / folder).glob(f"{runs}-*.json"):
            shutil.copy(path, target)
    return tmp_path


def test_cards_are_made_once_and_then_up_to_date(repository: Path) -> None:
    (repository / "model_cards/gone").mkdir(parents=True)
    (repository / "model_cards/gone/README.md").write_text("of a model that is no more", encoding="utf-8")
    stale = model_cards.update(repository, write=False)
    assert "model_cards/gone/README.md" in stale and len(list((repository / "model_cards").iterdir())) == 1
    assert model_cards.update(repository, write=True) == stale
    found = sorted(str(p.relative_to(repository)) for p in (repository / "model_cards").rglob("*") if p.is_file())
    assert found == sorted(name for name in stale if "gone" not in name)
    assert found == [
        "model_cards/README.md",
        "model_cards/unsup-distilbert/.eval_results/test.yaml",
        "model_cards/unsup-distilbert/README.md",
        "model_cards/wordnet-order/README.md",
        "model_cards/wordnet-order/training_curve.png",
    ]
    assert model_cards.update(repository, write=False) == []


def test_a_card_has_mean_and_deviation_over_the_seeds_that_were_run(repository: Path) -> None:
    model_cards.update(repository, write=True)
    card = (repository / "model_cards/unsup-distilbert/README.md").read_text(encoding="utf-8")
    assert "| sts average | test | Spearman, cosine | 28.73 | 65.05 ± 0.09 |" in card
    assert "over seeds 42, 43, 44; weights and recipe are those of seed 42" in card
    assert re.search(r"220 optimizer steps and 211 ± 77 seconds on .*, 2 cores\.", card)
    assert 'SentenceTransformer("runs/unsup-distilbert/final")' in card and "path/to/this/folder" not in card
    index = (repository / "model_cards/README.md").read_text(encoding="utf-8")
    assert (
        "| [unsup-distilbert](unsup-distilbert/README.md) | sts average, Spearman, cosine | 65.05 ± 0.09 | 3 |"
        in index
    )
    (repository / "benchmarks/results/simcse_distilbert/unsup-distilbert-43.json").unlink()
    stale = ["model_cards/README.md", "model_cards/unsup-distilbert/README.md"]
    assert model_cards.update(repository, write=False) == stale


def test_seeds_of_different_recipes_are_not_averaged(repository: Path) -> None:
    path = repository / "benchmarks/results/simcse_distilbert/unsup-distilbert-43.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**run, "recipe": {**run["recipe"], "temperature": "0.05"}}), encoding="utf-8")
    with pytest.raises(model_cards.CheckpointError, match="these differ in seed, temperature"):
        model_cards.update(repository, write=True)
    assert not (repository / "model_cards").exists()


def test_missing_results_are_named_and_check_says_what_to_do(repository: Path) -> None:
    with pytest.raises(SystemExit, match=": out of date; run `python scripts/model_cards.py`"):
        model_cards.main(check=True)
    assert not (repository / "model_cards").exists()
    model_cards.main(check=False)
    model_cards.main(check=True)
    shutil.rmtree(repository / "benchmarks/results/recipes")
    with pytest.raises(SystemExit, match="wordnet-order: made from .*wordnet-SEED.json, which is missing"):
        model_cards.main(check=True)


def test_the_cards_of_this_repository_are_up_to_date() -> None:
    assert model_cards.update(ROOT, write=False) == []


def test_every_card_of_this_repository_has_a_recipe_and_nothing_of_a_machine() -> None:
    cards = sorted((ROOT / "model_cards").glob("*/README.md"))
    assert [card.parent.name for card in cards] == sorted(model_cards.MODELS)
    for card in cards:
        text = card.read_text(encoding="utf-8")
        (recipe,) = re.findall(r"```yaml\n(.*?)\n```", text, re.DOTALL)
        assert {"train_data", "negatives", "learning_rate", "seed"} <= yaml.safe_load(recipe).keys()
        assert not re.search(r"/home/|/tmp/|/root|/work|output_dir", text)
