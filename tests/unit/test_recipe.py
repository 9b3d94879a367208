"""Bad recipes are refused with file, line, key and remedy, before anything is loaded."""

import json
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_checkpoint

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import load_recipe, recipe_keys
from hf_contrastive.training import ContrastiveModel
from hf_contrastive.training.checkpoints import (
    check_fits,
    check_same_recipe,
    check_writable,
    last_complete_checkpoint,
)

RECIPE = """\
# a comment
model_name_or_path: some/model
train_data: data.txt
learning_rate: 2e-5
output_dir: out
use_cpu: true
report_to: none
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as error:
        load_recipe(path, overrides)
    return str(error.value)


def test_values_get_their_types(recipe: Path) -> None:
    recipe.write_text(RECIPE + "eval_strategy: no\nbf16: no\nnegatives: [in_batch, {name: hard, weight: 2}]\n")
    loaded = load_recipe(recipe, ["--max_steps=-1", "--seed", "7", "--symmetric"])
    assert loaded.training.learning_rate == 2e-5
    assert loaded.training.eval_strategy == "no"
    assert loaded.training.bf16 is False
    assert loaded.training.symmetric is True
    assert (loaded.training.max_steps, loaded.training.seed) == (-1, 7)
    assert loaded.negatives.sampler_configs == [{"name": "in_batch"}, {"name": "hard", "weight": 2}]


def test_keys_are_listed_with_the_defaults_that_count(recipe: Path) -> None:
    loaded = load_recipe(recipe)
    for key, default in {"fast_dropout": True, "mask_duplicates": True, "streaming": False}.items():
        part = next(part for part in (loaded.model, loaded.negatives, loaded.data) if hasattr(part, key))
        assert recipe_keys()[key][0] == str(getattr(part, key)) == str(default)
    assert load_recipe(recipe, ["--fast_dropout", "false"]).model.fast_dropout is False


def test_bf16_needs_no_gpu(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("use_cpu: true\n", "bf16: true\n"))
    assert load_recipe(recipe).training.use_cpu is not torch.accelerator.is_available()


def test_unknown_key_names_the_nearest_one(recipe: Path) -> None:
    recipe.write_text(RECIPE + "temprature: 0.1\n")
    message = refused(recipe)
    assert message == f"{recipe}, line 8: unknown key 'temprature'; did you mean 'temperature'?"
    recipe.write_text(RECIPE)
    assert refused(recipe, "--poler", "avg") == "command line, --poler: unknown key 'poler'; did you mean 'pooler'?"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_steps: many", "line 8: max_steps: 'many' does not fit; must be of type int"),
        ("bf16: perhaps", "line 8: bf16: 'perhaps' does not fit; Truthy value expected"),
        ("eval_strategy: often", "line 8: eval_strategy: 'often' does not fit; invalid choice"),
        ("seed: [1, 2]", "line 8: seed takes one value, got the list ['1', '2']"),
        ("learning_rate: 1e-5", "line 8: key 'learning_rate' is given twice (first: "),
        ("pooler: clss", "line 8: pooler: unknown pooler 'clss'; choose one of cls, cls_before_pooler, avg"),
        ("temperature: 0", "line 8: temperature: must be greater than 0, got 0.0; the paper uses 0.05"),
        ("temperature: -0.1", "line 8: temperature: must be greater than 0, got -0.1"),
        ("columns: {anchr: text}", "line 8: columns: expected keys anchor, positive, negatives"),
        ("negatives: {weight: 1}", "line 8: negatives: {'weight': 1} is not a sampler name or a mapping with the key"),
        ("max_length: 2", "line 8: max_length: must be at least 3 tokens, got 2"),
        ("fast_dropout: maybe", "line 8: fast_dropout: 'maybe' does not fit; Truthy value expected"),
        ("dropout: 1.5", "line 8: dropout: must be in [0, 1), got 1.5"),
        ("dev_data: ${NOT_SET_ANYWHERE}/x.tsv", "line 8: dev_data needs the environment variable NOT_SET_ANYWHERE"),
        (
            "final_evaluation: [sts, glue]",
            "line 8: final_evaluation: unknown final_evaluation 'glue'; choose one of sts",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(recipe: Path, line: str, message: str) -> None:
    recipe.write_text(RECIPE + line + "\n")
    assert message in refused(recipe)
    assert str(recipe) in refused(recipe)


def test_head_after_cls_before_pooler_is_refused(recipe: Path) -> None:
    recipe.write_text(RECIPE + "pooler: cls_before_pooler\nhead: kept\n")
    assert "line 9: head: pooler cls_before_pooler takes the [CLS] vector before any head" in refused(recipe)


def test_missing_keys_and_files(tmp_path: Path, recipe: Path) -> None:
    assert refused(tmp_path / "nowhere.yaml") == f"{tmp_path / 'nowhere.yaml'}: no such recipe file"
    recipe.write_text("train_data: x.txt\n")
    assert "key 'model_name_or_path' is missing; Checkpoint folder or Hub name" in refused(recipe)
    recipe.write_text("train_data: [x\n")
    assert "not YAML" in refused(recipe)


def test_environment_variables_and_their_defaults(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe.write_text(RECIPE.replace("data.txt", "${SOME_FOLDER}/data.txt").replace("some/model", "${MODEL:-a/b}"))
    monkeypatch.setenv("SOME_FOLDER", "/data")
    loaded = load_recipe(recipe)
    assert loaded.data.train_data == "/data/data.txt"
    assert loaded.model.model_name_or_path == "a/b"


def test_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="output_dir: .*file/out cannot be written .*choose another folder"):
        check_writable(tmp_path / "file" / "out")
    check_writable(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())


def test_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    small = SentenceEncoder.from_pretrained(save_tiny_checkpoint(tmp_path / "a"))
    other = SentenceEncoder.from_pretrained(save_tiny_checkpoint(tmp_path / "b", intermediate_size=48))
    checkpoint = tmp_path / "checkpoint-5"
    checkpoint.mkdir()
    save_file(ContrastiveModel(other).state_dict(), checkpoint / "model.safetensors")
    check_fits(checkpoint, ContrastiveModel(other))
    with pytest.raises(
        CheckpointError, match=r"of another architecture: weight .* has shape \[48.*resume with the model"
    ):
        check_fits(checkpoint, ContrastiveModel(small))
    (checkpoint / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match="cannot be read .*to resume from the one before"):
        check_fits(checkpoint, ContrastiveModel(small))


def test_a_run_of_another_recipe_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps({"learning_rate": "1e-5", "logging_steps": "5"}))
    check_same_recipe(tmp_path, {"learning_rate": "1e-5", "logging_steps": "9"})
    with pytest.raises(RecipeError, match=r"learning_rate \(1e-5 -> 2e-5\), symmetric \(not set -> true\)"):
        check_same_recipe(tmp_path, {"learning_rate": "2e-5", "symmetric": "true"})


def test_a_checkpoint_that_a_kill_cut_short_is_passed_over(tmp_path: Path) -> None:
    for step, state in ((5, "{}"), (10, '{"half'), (15, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-5"
    assert last_complete_checkpoint(tmp_path / "nothing") is None
