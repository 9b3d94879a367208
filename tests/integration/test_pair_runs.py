"""Whole runs on labelled pairs: killed and resumed, and what they leave to publish."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import final_weights, log_of, make_run, run_recipe, sentence, train_alone, train_until_killed
from safetensors.torch import load_file
from transformers import AutoModel

from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.look.subjects import load_weights, run_encoder
from hf_contrastive.models import SentenceEncoder


def make_pair_run(folder: Path, **options: Any) -> Path:
    """Pairs of three classes: the same sentence, the same words shuffled, other words."""
    rng = random.Random(0)
    rows = []
    for number in range(240):
        first = sentence(rng)
        mixed = first.split()
        rng.shuffle(mixed)
        kind = number % 3
        second = (first, " ".join(mixed), sentence(rng))[kind]
        rows.append(f"{first}\t{second}\t{('same', 'mixed', 'other')[kind]}")
    folder.mkdir(parents=True)
    (folder / "pairs.tsv").write_text("\n".join(["one\ttwo\tgold", *rows]) + "\n", encoding="utf-8")
    shared = {
        "objective": "softmax_classifier",
        "train_data": str(folder / "pairs.tsv"),
        "columns": {"sentence1": "one", "sentence2": "two", "label": "gold"},
        "labels": ["same", "mixed", "other"],
    }
    return make_run(folder, **shared | options)


def test_killed_and_resumed_ends_with_the_same_bits_classifier_included(tmp_path: Path) -> None:
    options = {"max_steps": 24, "eval_steps": 8, "save_steps": 8, "encode_chunk_size": 10, "seed": 3}
    whole, cut = (make_pair_run(tmp_path / name, **options) for name in ("whole", "cut"))
    train_alone(whole)
    train_until_killed(cut, 13)
    assert (cut / "out/checkpoint-8").exists() and not (cut / "out/final").exists()
    train_alone(cut)
    first, second = final_weights(whole), final_weights(cut)
    assert all(torch.equal(first[name], second[name]) for name in first)
    last = [load_file(run / "out/checkpoint-24/model.safetensors") for run in (whole, cut)]
    assert last[0]["classifier.linear.weight"].shape == (3, 96)
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])


def test_learns_and_leaves_a_folder_without_the_classifier(tmp_path: Path) -> None:
    run = make_pair_run(tmp_path / "run", max_steps=60, eval_steps=60, save_steps=60, dropout=0.0)
    results = run_recipe(run)
    steps = log_of(run)
    assert steps[0]["loss"] > steps[-1]["loss"] and steps[-1]["accuracy"] > 0.55
    assert steps[0]["sentences_per_second"] > 0 and results["steps"] == 60
    assert not any("classifier" in name for name in final_weights(run))
    assert {path.name for path in (run / "out/final").rglob("*.safetensors")} == {"model.safetensors"}
    AutoModel.from_pretrained(run / "out/final")
    published = SentenceEncoder.from_pretrained(run / "out/final").encode(["a man plays the guitar"])
    checkpoint = run_encoder(run / "out")
    load_weights(checkpoint, run / "out/checkpoint-60")  # what `look` draws of a run
    assert torch.equal(checkpoint.encode(["a man plays the guitar"]), published)


@pytest.mark.parametrize(
    "options",
    [
        {"streaming": True},
        {"pooler": "cls", "head": "kept", "head_learning_rate": 1e-2},
        {"bf16": True, "gradient_accumulation_steps": 2, "gradient_checkpointing": True, "encode_chunk_size": 8},
    ],
    ids=str,
)
def test_every_kind_of_run_moves_encoder_and_classifier(tmp_path: Path, options: dict) -> None:
    run = make_pair_run(tmp_path / "run", max_steps=4, eval_steps=2, save_steps=2, **options)
    assert run_recipe(run)["steps"] == 4
    start = load_file(run / "checkpoint/model.safetensors")
    name = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(start[name], final_weights(run)[name])
    half, last = (load_file(run / f"out/checkpoint-{step}/model.safetensors") for step in (2, 4))
    assert not torch.equal(half["classifier.linear.weight"], last["classifier.linear.weight"])
    assert ("encoder.head.weight" in last) == ("head" in options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"labels": ["same", "mixed"]}, DataError, "line 4, column 'gold': label 'other' is none of 'same', 'mixed'"),
        ({"labels": None}, DataError, "line 2, column 'gold': label 'same' is none of 'entailment', 'neutral'"),
        ({"max_train_rows": 1, "per_device_train_batch_size": 1}, DataError, "1 rows have the same label, 'same'"),
        ({"negatives": ["in_batch", "hard"]}, RecipeError, "negatives: objective softmax_classifier has no negatives"),
        ({"temperature": 0.1}, RecipeError, "line .*: temperature: objective softmax_classifier contrasts nothing"),
        ({"objective": "infonce"}, DataError, "pairs have labels, which only objective softmax_classifier reads"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    tmp_path: Path, options: dict, error: type[Exception], message: str
) -> None:
    run = make_pair_run(tmp_path / "run", **options)
    with pytest.raises(error, match=message):
        run_recipe(run)
    assert not (run / "out" / "before.json").exists()
