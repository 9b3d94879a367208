"""How the quick start trains, and its Makefile and pins."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hf_contrastive.recipe import load_recipe

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
sys.path.insert(0, str(QUICKSTART))

import downloads  # noqa: E402
import train  # noqa: E402


def test_training_gets_the_inputs_and_the_overrides() -> None:
    names = ("model", "train_data", "dev_data", "test_data")
    inputs = {name: downloads.Input(f"path of {name}", "", "") for name in names}
    program, command, path, *overrides = train.train_command(inputs, ["--max_steps", "7"])
    assert Path(program).name == "hf-contrastive" and command == "train"
    recipe = load_recipe(path, [*overrides, "--bf16", "false", "--use_cpu"])
    assert recipe.model.model_name_or_path == "path of model"
    assert recipe.data.train_data == "path of train_data"
    assert (recipe.evaluation.dev_data, recipe.evaluation.test_data) == ("path of dev_data", "path of test_data")
    assert recipe.training.max_steps == 7
    assert recipe.training.load_best_model_at_end and recipe.training.output_dir == "runs/quickstart"


def make(target: str, *variables: str, cwd: Path = ROOT) -> str:
    """What make would run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-n", "-f", str(ROOT / "Makefile"), target, *variables]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_passes_its_variables_on(tmp_path: Path) -> None:
    last = make("train", "MODEL=a model", "DATA=x.txt", "ARGS=--max_steps 3").splitlines()[-1]
    assert last.endswith('examples/quickstart/train.py --model "a model" --data "x.txt" --max_steps 3')
    assert "--model" not in make("train", "MODEL=") and "--data" not in make("train", "DATA=")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_sets_up_once_and_again_when_the_requirements_change(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    fresh = make("train", cwd=tmp_path)
    assert "python3 -m venv .venv" in fresh and "-c constraints.txt -e '.[peft,quickstart]'" in fresh
    assert "-c constraints.txt -e '.[dev,quickstart]'" in make("test", cwd=tmp_path)
    (tmp_path / ".venv").mkdir()
    for name in (".created", ".installed-train"):
        (tmp_path / ".venv" / name).touch()
    assert "pip install" not in make("train", cwd=tmp_path)
    os.utime(tmp_path / ".venv" / ".installed-train", (0, 0))
    assert "pip install" in make("train", cwd=tmp_path) and "venv .venv" not in make("train", cwd=tmp_path)


def test_constraints_pin_every_requirement_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [requirement for group in project["optional-dependencies"].values() for requirement in group]
    requirements = [Requirement(text) for text in [*project["dependencies"], *extras]]
    for requirement in requirements:
        if requirement.name != project["name"]:
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert name in pins, f"{name} is not in constraints.txt"
            assert requirement.specifier.contains(pins[name]), f"{requirement} excludes {pins[name]}"
    assert not [version for version in pins.values() if "+" in version]
