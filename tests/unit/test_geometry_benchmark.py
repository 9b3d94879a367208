"""Geometry of models: measured as `look` measures, once each, and drawn by what draws for `look`."""

import json
import random
from pathlib import Path
from typing import Any

import figures
import geometry
import numpy as np
import pytest
import torch
from helpers import save_tiny_checkpoint
from PIL import Image
from runs import make_run, run_recipe, sentence

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.evaluation import alignment, spearman
from hf_contrastive.evaluation.pairs import load_sts_pairs
from hf_contrastive.models import SentenceEncoder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two checkpoints and the pairs they are measured on."""
    rng = random.Random(0)
    (tmp_path / "sts").mkdir()
    for part in ("dev", "test"):
        rows = [f"{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}" for _ in range(30)]
        text = "\n".join(["score\tsentence1\tsentence2", *rows])
        (tmp_path / "sts" / f"STSB-{part}.tsv").write_text(text, encoding="utf-8")
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    torch.manual_seed(0)
    return {name: save_tiny_checkpoint(tmp_path / name, "distilbert") for name in ("base", "other")}


def run(output: Path, *given: str, poolers: list[str] | None = None) -> dict[str, Any]:
    geometry.main(list(given), poolers, bf16=False, output=output)
    return json.loads(output.read_text(encoding="utf-8"))


def test_models_are_measured_once_and_drawn(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, given = tmp_path / "results" / "geometry.json", [f"{name}={path}" for name, path in models.items()]
    run(output, given[0])
    measured, measure = [], geometry.measure
    monkeypatch.setattr(geometry, "measure", lambda *a, **b: measured.append(a[2]) or measure(*a, **b))
    poolers = ["other=cls"]
    made = run(output, *given, poolers=poolers)
    assert run(output, *given, poolers=poolers) == made and measured == ["other"]
    assert [one["name"] for one in made["measurements"]] == ["base", "other"] == list(made["summary"])
    assert str(tmp_path) not in json.dumps(made)

    for one, pooler in zip(made["measurements"], ("avg", "cls"), strict=True):
        encoder = SentenceEncoder.from_pretrained(str(models[one["name"]]), pooler=pooler)
        dev, test = (load_sts_pairs(tmp_path / "sts" / f"STSB-{part}.tsv") for part in ("dev", "test"))
        left, right = (encoder.encode(side, normalize=True) for side in (test.sentence1, test.sentence2))
        assert one["test_spearman"] == pytest.approx(spearman((left * right).sum(1), test.scores))
        alike = [row for row, score in enumerate(dev.scores) if score > 0.8 * dev.scores.max()]
        left, right = (encoder.encode([side[row] for row in alike]) for side in (dev.sentence1, dev.sentence2))
        assert one["alignment"] == pytest.approx(alignment(left, right), rel=1e-4)
        assert one["spectrum"][0] == 1 and one["dimension"] == len(one["spectrum"]) == 32

    (tmp_path / "images").mkdir()
    figures.geometry(output, tmp_path / "images")
    for name in ("alignment-uniformity", "spectrum"):
        with Image.open(tmp_path / "images" / f"{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn


def test_a_run_is_measured_by_its_final_model(models: dict[str, Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", max_steps=4)
    run_recipe(folder)
    output = tmp_path / "geometry.json"
    run(output, f"run={folder / 'out'}")
    made = run(output, f"run={folder / 'out' / 'final'}")
    assert [(one["name"], one["made_by"]) for one in made["measurements"]] == [("run", "4 steps")]
    (folder / "out" / "final" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="is a run that has not ended"):
        run(output, f"unfinished={folder / 'out'}")


def test_a_whitening_says_what_it_was_fitted_on(tmp_path: Path) -> None:
    (tmp_path / "whitening.json").write_text('{"sentences": 2500}', encoding="utf-8")
    assert geometry.made_by(tmp_path) == "whitening of 2,500 sentences"
    assert geometry.made_by(tmp_path / "elsewhere") == ""


def test_what_cannot_be_measured_is_refused_before_anything_is(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, base = tmp_path / "geometry.json", f"base={models['base']}"
    run(output, base)
    monkeypatch.setattr(geometry, "measure", lambda *_, **__: pytest.fail("measured"))
    for given, poolers, message in (
        ([str(models["base"])], None, "expected NAME=MODEL"),
        ([base, base], None, "base is given twice"),
        ([base], ["base=clss"], "unknown pooler 'clss'"),
        ([base], ["unsup=cls"], "no model of that name; there are base"),
        ([f"base={models['other']}"], None, "base is .*/base, pooler its own; give .*/other"),
        ([base], ["base=cls"], "pooler cls, another name"),
    ):
        with pytest.raises(RecipeError, match=message):
            run(output, *given, poolers=poolers)
    (models["other"] / "config.json").unlink()
    with pytest.raises(CheckpointError, match="other: no checkpoint"):
        run(output, base, f"first={models['base']}", f"last={models['other']}")


def test_measurements_that_are_not_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures.main(tmp_path, tmp_path / "images")
    said = capsys.readouterr().out
    assert "words_study: not there" in said and "geometry.json: not there" in said
    assert not (tmp_path / "images").exists()
