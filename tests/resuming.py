"""Runs that stop on their way, in this process or killed, and are resumed, beside their twins that went through."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import run_recipe, train_alone, train_until_killed
from safetensors.torch import load_file

from hf_contrastive.training.table_trainer import TableTrainer


class StoppedError(Exception):
    """Between two checkpoints."""


def train_until_stopped(run: Path, stop: int) -> None:
    """Train tables here, up to an exception before step `stop`."""
    set_step = TableTrainer.set_step

    def stopping(self: TableTrainer, step: int) -> None:
        if step == stop:
            raise StoppedError
        set_step(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TableTrainer, "set_step", stopping)
        with pytest.raises(StoppedError):
            run_recipe(run)


def assert_stops_between(run: Path, checkpoint: int) -> None:
    assert (run / f"out/checkpoint-{checkpoint}").is_dir() and not (run / "out/final").exists()


def assert_stopped_and_resumed_is_the_same(make: Callable[..., Path], folder: Path, **options: Any) -> None:
    """Tables whose run `make` describes, with a checkpoint every 8 steps of 24, or of `max_steps`."""
    whole, cut = make(folder / "whole", **options), make(folder / "cut", **options)
    run_recipe(whole)
    last = options.get("max_steps", 24)
    train_until_stopped(cut, last - 11)
    assert_stops_between(cut, 8)
    torch.manual_seed(9)  # what happened in between has no say
    run_recipe(cut)
    assert_same_run(whole, cut, last // 8 * 8)


def assert_killed_and_resumed_is_the_same(make: Callable[..., Path], folder: Path, **options: Any) -> None:
    """The same in processes of their own, with longer runs."""
    every = {"max_steps": 100, "eval_steps": 20, "save_steps": 20, "logging_steps": 20, **options}
    whole, cut = make(folder / "whole", **every), make(folder / "cut", **every)
    train_alone(whole)
    train_until_killed(cut, 53)
    assert_stops_between(cut, 40)
    done = train_alone(cut)
    assert "resuming from" in done.stdout + done.stderr
    assert_same_run(whole, cut, 100)


def assert_same_weights(first: Path, second: Path, *steps: int) -> None:
    """Bit for bit, in what two runs have published and in their checkpoints at `steps`."""
    for folder in ("final", *(f"checkpoint-{step}" for step in steps)):
        weights = [load_file(run / "out" / folder / "model.safetensors") for run in (first, second)]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), folder


def assert_same_run(first: Path, second: Path, step: int) -> None:
    """Weights, at `step` and at the end, and all figures but those of time."""
    assert_same_weights(first, second, step)
    results = [json.loads((run / "out/results.json").read_text().replace(str(run), "")) for run in (first, second)]
    assert results[0]["after"] == results[1]["after"]
    curves = [
        [{k: v for k, v in e.items() if "time" not in k and "seconds" not in k} for e in r["curve"]] for r in results
    ]
    assert curves[0] == curves[1]
