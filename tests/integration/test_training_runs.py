"""Whole runs on a tiny checkpoint: killed and resumed, started in other ways, of every kind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from resuming import assert_same_weights, assert_stops_between
from runs import ENVIRONMENT, log_of, make_run, run_recipe, train_alone, train_until_killed
from transformers import AutoModel

from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.models import SentenceEncoder

ADVERSARY = {"name": "adversarial", "fresh": 4, "k": 4, "update_every": 2}
REINFORCE = {"name": "adversarial", "estimator": "reinforce", "k": 3, "off_policy": True}


@pytest.mark.parametrize("kind", ["plain", "hard negatives, chunks, masked language model", "learned negatives"])
def test_killed_between_checkpoints_and_resumed_ends_with_the_same_bits(tmp_path: Path, kind: str) -> None:
    options = {"max_steps": 40, "eval_steps": 8, "save_steps": 8, "seed": 3}
    if kind == "learned negatives":
        mixed = {"name": "mixture", "lambda": 0.5, "parts": ["uniform", REINFORCE]}
        options |= {"negatives": ["in_batch", ADVERSARY, {"name": "cached", "k": 2}, mixed], "bank_size": 64}
    elif kind != "plain":
        options |= {
            "hard_negatives": True,
            "mlm_weight": 0.1,
            "encode_chunk_size": 10,
            "pooler": "cls",
            "head": "kept",
        }
    whole, cut = make_run(tmp_path / "whole", **options), make_run(tmp_path / "cut", **options)
    train_alone(whole)
    train_until_killed(cut, 21)
    assert_stops_between(cut, 16)
    done = train_alone(cut)
    assert "checkpoint-" in done.stdout + done.stderr  # said where it resumed from
    assert_same_weights(whole, cut)
    first, second = (json.loads((run / "out/results.json").read_text()) for run in (whole, cut))
    assert first["after"]["dev"] == second["after"]["dev"]
    assert first["before"]["dev"] == second["before"]["dev"]


def test_command_line_module_and_accelerate_launch_give_the_same_bits(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, max_steps=4) for name in ("cli", "launch")]
    starts = [
        [sys.executable, "-m", "hf_contrastive.cli", "train", str(runs[0] / "recipe.yaml")],
        [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "-m", "hf_contrastive.train"]
        + [str(runs[1] / "recipe.yaml")],
    ]
    for start in starts:
        command = [*start, "--learning_rate", "2e-3"]
        subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, timeout=300)
    assert_same_weights(*runs)


@pytest.mark.parametrize(
    "options",
    [
        {"pooler": "cls", "head": "train_only", "head_learning_rate": 1e-2},
        {"hard_negatives": True, "symmetric": True},
        {"lora_r": 4, "learning_rate": 1e-2},
        {"kind": "t5"},
        {"kind": "llama", "pooler": "last"},
        {"mlm_weight": 0.1, "gradient_accumulation_steps": 2},
        {"streaming": True},
        {"gradient_checkpointing": True, "encode_chunk_size": 8},
        {"bf16": True},
    ],
    ids=str,
)
def test_every_kind_of_run_learns_and_leaves_a_folder(tmp_path: Path, options: dict) -> None:
    run = make_run(tmp_path / "run", **options)
    results = run_recipe(run)
    log = log_of(run, 12)
    assert log[-1]["loss"] < log[0]["loss"]
    assert {"alignment", "uniformity", "learning_rate", "sentences_per_second", "negatives"} <= log[0].keys()
    encoder = SentenceEncoder.from_pretrained(run / "out/final")
    assert encoder.encode(["a man plays the guitar"]).shape == (1, 32)
    if options.get("kind") != "t5":  # AutoModel would add a decoder
        AutoModel.from_pretrained(run / "out/final")
    assert results["steps"] == 12
    assert not {p.suffix for p in (run / "out/final").rglob("*") if p.is_file()} & {".bin", ".pt", ".pth", ".pkl"}


def test_gradient_accumulation_divides_the_loss(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(n), gradient_accumulation_steps=n, max_steps=2) for n in (1, 4)]
    losses = []
    for run in runs:
        run_recipe(run)
        losses.append(log_of(run, 2)[0]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.5)


def test_reports_to_tensorboard(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", report_to="tensorboard", max_steps=2)
    run_recipe(run)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = {p.parent for p in (run / "out").rglob("events.out.tfevents.*")}
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    wanted = {"train/loss", "train/alignment", "train/uniformity", "train/sentences_per_second", "eval/dev_spearman"}
    assert wanted <= set(accumulator.Tags()["scalars"])


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    first = run_recipe(run)
    again = run_recipe(run)
    assert again["after"]["dev"] == first["after"]["dev"]
    assert again["steps"] == first["steps"]
    with pytest.raises(RecipeError, match="holds a run of another recipe, which differs in learning_rate"):
        run_recipe(run, "--learning_rate", "5e-4")


def test_too_few_rows_and_mismatched_negatives_are_refused_before_training(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", per_device_train_batch_size=500)
    with pytest.raises(DataError, match="240 rows do not fill one global batch of 500"):
        run_recipe(run)
    run = make_run(tmp_path / "hard", hard_negatives=True, negatives="in_batch")
    with pytest.raises(DataError, match="hard negatives that no sampler uses; add hard"):
        run_recipe(run)
    run = make_run(tmp_path / "none", negatives=["in_batch", "hard"])
    with pytest.raises(DataError, match="sampler hard finds no hard negatives in the data; name their columns"):
        run_recipe(run)
    run = make_run(tmp_path / "long", max_length=4000)
    with pytest.raises(RecipeError, match="max_length: 4000 tokens are more than the 128 positions"):
        run_recipe(run)


def test_errors_reach_the_user_without_a_traceback(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", train_data=str(tmp_path / "no" / "file.txt"))
    done = train_alone(run, check=False)
    assert done.returncode == 1
    assert "error: " in done.stderr and "file.txt" in done.stderr
    assert "Traceback" not in done.stderr
