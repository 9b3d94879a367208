"""Every recipe and every accelerate configuration in the repository loads."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from hf_contrastive import tasks as train_tasks
from hf_contrastive.negatives import build_negatives
from hf_contrastive.recipe import load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*/*.yaml")) + [ROOT / "examples/quickstart/recipe.yaml"]
TRAINING = [path for path in RECIPES if path.parent.name != "accelerate"]
ACCELERATE = [path for path in RECIPES if path.parent.name == "accelerate"]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_the_papers_recipes_are_there() -> None:
    models = ("bert-base", "bert-large", "roberta-base", "roberta-large", "distilbert")
    assert {f"simcse/{kind}-{model}" for kind in ("unsup", "sup") for model in models} <= {name(p) for p in TRAINING}
    kinds = {"cpu", "one_gpu", "multi_gpu", "multi_node", "fsdp2", "deepspeed_zero2"}
    assert kinds <= {path.stem for path in ACCELERATE}


TASKS = {"simcse": "sentences", "quickstart": "sentences", "words": "words", "kg": "graph", "hypernymy": "hypernymy"}
# What tables have of what a sampler may need.
OF_TABLES = {"words": {"bank", "counts"}, "graph": {"bank", "counts"}, "hypernymy": {"bank", "counts"}}
CHOOSES = {"sentences": {"dev_spearman"}, "graph": {"mrr"}, "hypernymy": {"accuracy", "auc"}}


def test_every_task_has_a_recipe() -> None:
    assert {TASKS[path.parent.name] for path in TRAINING} == set(train_tasks.TASKS)


@pytest.mark.parametrize("path", TRAINING, ids=name)
def test_recipe(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", "/data")
    inputs = ["--model_name_or_path", "m", "--train_data", "d"] if path.parent.name == "quickstart" else []
    recipe = load_recipe(path, [*inputs, "--output_dir", str(tmp_path), "--use_cpu"])
    assert recipe.task == TASKS[path.parent.name]
    sampler = build_negatives(recipe.negatives.sampler_configs, width=8)
    if recipe.task in OF_TABLES:
        assert sampler.needs <= OF_TABLES[recipe.task]
    else:
        has_hard = bool((recipe.data.column_mapping or {}).get("negatives"))
        assert has_hard == ("hard" in sampler.needs)
        assert recipe.training.bf16
    if recipe.task in CHOOSES:  # of word vectors the last are kept: similarity sets are no development set
        assert recipe.training.load_best_model_at_end
        assert recipe.training.metric_for_best_model in CHOOSES[recipe.task]
        assert recipe.training.greater_is_better


@pytest.mark.parametrize("path", ACCELERATE, ids=name)
def test_accelerate_config(path: Path) -> None:
    config = load_config_from_file(str(path))
    expected = {
        "cpu": ("NO", 1),
        "cpu_2ranks": ("MULTI_GPU", 2),
        "one_gpu": ("NO", 1),
        "multi_gpu": ("MULTI_GPU", 8),
        "multi_node": ("MULTI_GPU", 16),
        "fsdp2": ("FSDP", 8),
        "deepspeed_zero2": ("DEEPSPEED", 8),
    }[path.stem]
    assert (str(getattr(config.distributed_type, "value", config.distributed_type)), config.num_processes) == expected
    assert config.use_cpu == path.stem.startswith("cpu")
    if path.stem == "fsdp2":
        assert config.fsdp_config["fsdp_version"] == 2
    if path.stem == "deepspeed_zero2":
        assert config.deepspeed_config["zero_stage"] == 2


def test_slurm_script_launches_a_recipe_on_every_machine() -> None:
    script = (ROOT / "recipes/launch.slurm").read_text()
    assert "accelerate launch" in script and "-m hf_contrastive.train" in script
    assert "recipes/accelerate/multi_node.yaml" in script and "--machine_rank" in script
