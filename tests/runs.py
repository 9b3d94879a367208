"""Tiny but complete runs: a checkpoint, data, a recipe, what trains it or is killed on its way, what it leaves."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from helpers import WORDS, save_tiny_checkpoint
from safetensors.torch import load_file

from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(4, 12)))


def write_sentences(path: Path, count: int) -> Path:
    """A text file, a sentence a line."""
    rng = random.Random(0)
    path.write_text("".join(f"{sentence(rng)}\n" for _ in range(count)), encoding="utf-8")
    return path


def make_run(folder: Path, kind: str = "bert", hard_negatives: bool = False, **overrides: Any) -> Path:
    """A folder with checkpoint/, data, dev.tsv and recipe.yaml; paths inside the recipe are absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_tiny_checkpoint(folder / "checkpoint", kind)
    rng = random.Random(0)
    if hard_negatives:
        rows = ["\t".join(sentence(rng) for _ in range(3)) for _ in range(240)]
        (folder / "train.tsv").write_text("sent0\tsent1\thard_neg\n" + "\n".join(rows) + "\n", encoding="utf-8")
    else:
        (folder / "train.txt").write_text("\n".join(sentence(rng) for _ in range(240)) + "\n", encoding="utf-8")
    pairs = [f"{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}" for _ in range(40)]
    (folder / "dev.tsv").write_text("score\tsentence1\tsentence2\n" + "\n".join(pairs) + "\n", encoding="utf-8")
    recipe: dict[str, Any] = {
        "model_name_or_path": str(folder / "checkpoint"),
        "pooler": "avg",
        "train_data": str(folder / ("train.tsv" if hard_negatives else "train.txt")),
        "dev_data": str(folder / "dev.tsv"),
        "negatives": ["in_batch", "hard"] if hard_negatives else "in_batch",
        "output_dir": str(folder / "out"),
        "max_steps": 12,
        "per_device_train_batch_size": 16,
        "learning_rate": 1e-3,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_strategy": "steps",
        "save_steps": 4,
        "load_best_model_at_end": True,
        "metric_for_best_model": "dev_spearman",
        "greater_is_better": True,
        "logging_steps": 2,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**recipe, **overrides}), encoding="utf-8")
    return folder


def run_recipe(run: Path, *overrides: str) -> dict[str, Any]:
    """What training here, in this process, leaves in results.json."""
    return train(load_recipe(run / "recipe.yaml", overrides))


def train_command(run: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "hf_contrastive.train", str(run / "recipe.yaml"), *overrides]


def train_alone(run: Path, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own with one thread: sums depend on how many there are."""
    command = train_command(run, *overrides)
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=300, text=True)
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


KILLED = """
import os, signal, sys
from transformers.trainer_callback import CallbackHandler
from hf_contrastive.train import main

def on_step_end(self, args, state, control, ended=CallbackHandler.on_step_end):
    if state.global_step == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return ended(self, args, state, control)

CallbackHandler.on_step_end = on_step_end
main(sys.argv[2:])
"""


def train_until_killed(run: Path, step: int) -> None:
    """Train in a process of its own that dies of SIGKILL after `step` updates, before the last is saved."""
    command = [sys.executable, "-c", KILLED, str(step), str(run / "recipe.yaml")]
    done = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, timeout=300, text=True)
    assert done.returncode == -signal.SIGKILL, done.stdout[-2000:] + done.stderr[-2000:]


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "out" / "final" / "model.safetensors")


def log_of(run: Path, step: int | None = None) -> list[dict[str, Any]]:
    """What was logged of training steps, in order, in a checkpoint; default: the last."""
    steps = [int(path.name.rpartition("-")[2]) for path in (run / "out").glob("checkpoint-*")]
    state = run / f"out/checkpoint-{max(steps) if step is None else step}/trainer_state.json"
    return [entry for entry in json.loads(state.read_text())["log_history"] if "loss" in entry]


def assert_generator_learned_and_is_not_published(run: Path, first: int = 8, last: int = 24) -> None:
    """Of a run with a learned sampler: between two checkpoints, with its figures in the log."""
    kept = [load_file(run / f"out/checkpoint-{step}/model.safetensors") for step in (first, last)]
    name = next(name for name in kept[0] if name.endswith("generator.candidate_projection"))
    assert not torch.equal(kept[0][name], kept[1][name])
    assert {"generator_entropy", "generator_reward", "hardness", "hardness_of_random"} <= log_of(run)[-1].keys()
    assert not [name for name in final_weights(run) if "generator" in name]
    assert "generator" not in "".join(p.read_text("utf-8", "ignore") for p in (run / "out/final").glob("*.json"))
