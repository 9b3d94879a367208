"""Whole runs with every source of negatives: they learn, stay out of what is published, and are refused in time."""

import json
import math
from pathlib import Path

import pytest
import torch
from resuming import assert_same_weights
from runs import final_weights, log_of, make_run, run_recipe
from safetensors.torch import load_file

from hf_contrastive.errors import DataError, RecipeError

ADVERSARY = {"name": "adversarial", "fresh": 4, "k": 4, "update_every": 2}
REINFORCE = {"name": "adversarial", "estimator": "reinforce", "k": 3, "off_policy": True}


def test_a_mixture_with_lambda_1_is_the_plain_sampler_bit_for_bit(tmp_path: Path) -> None:
    parts = ["in_batch", ADVERSARY]
    plain = make_run(tmp_path / "plain", max_grad_norm=0.1)
    mixed = make_run(
        tmp_path / "mixed",
        max_grad_norm=0.1,  # clips: the generator's gradient must not count
        negatives={"name": "mixture", "lambda": 1.0, "parts": parts},
    )
    run_recipe(plain)
    run_recipe(mixed)
    assert_same_weights(plain, mixed)


@pytest.mark.parametrize(
    "options",
    [
        {"negatives": ["in_batch", ADVERSARY]},
        {"negatives": ["in_batch", REINFORCE], "encode_chunk_size": 10, "gradient_accumulation_steps": 2},
        {"negatives": ["in_batch", {"name": "filtered", "part": ADVERSARY, "guide_margin": 0.05}], "bf16": True},
        {"negatives": ["in_batch", {"name": "self_adversarial", "part": "queue"}], "lora_r": 4},
        {"negatives": ["in_batch", "hard", ADVERSARY], "hard_negatives": True, "symmetric": True},
        {"negatives": {"name": "uniform", "k": 8, "fresh": True}, "objective": "nce"},
        {"negatives": ["in_batch", {"name": "uniform", "k": 8}], "objective": "sampled_softmax"},
        {"negatives": ["in_batch", "cached"], "objective": "triplet", "temperature": 1.0},
        {"negatives": "queue", "objective": "negative_sampling"},
    ],
    ids=lambda options: str(options)[:60],
)
def test_every_source_of_negatives_trains_and_stays_out_of_the_folder(
    tmp_path: Path, options: dict, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path / "run", bank_size=64, **options)
    results = run_recipe(run)
    assert ("overwritten most of what an anchor cached" in caplog.text) == ("cached" in options["negatives"])
    log = log_of(run, 12)
    losses = [entry["loss"] for entry in log]
    assert all(map(math.isfinite, losses)) and any(loss != 0 for loss in losses)
    assert results["after"]["dev"] != results["before"]["dev"]
    saved = load_file(run / "out/checkpoint-12/model.safetensors")
    assert "contrast.bank.tokens" in saved and saved["contrast.bank.written"].any()
    published = final_weights(run)
    assert not [name for name in published if "bank" in name or "generator" in name or "negatives" in name]
    if '"name": "adversarial"' in json.dumps(options["negatives"]):
        generator = saved[next(name for name in saved if name.endswith("generator.candidate_projection"))]
        start = load_file(run / "out/checkpoint-4/model.safetensors")
        assert not torch.equal(
            start[next(name for name in start if name.endswith("generator.candidate_projection"))], generator
        )
        figures = next(entry for entry in reversed(log) if "generator_entropy" in entry)
        assert {"generator_reward", "generator_false_negatives", "hardness", "hardness_of_random"} <= figures.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": "unigram"}, "sampler unigram needs counts of its candidates, which sentences lack"),
        ({"negatives": "in_batch", "objective": "nce"}, "objective: nce needs negatives drawn with a known"),
        ({"negatives": {"name": "filtered", "part": "queue", "known": "nowhere.tsv"}}, "nowhere.tsv"),
        ({"negatives": {"name": "mixture", "parts": ["queue", "quue"]}}, "did you mean 'queue'"),
        ({"negatives": "queue", "bank_size": 0}, "bank_size: must be positive"),
    ],
)
def test_sources_of_negatives_that_do_not_fit_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    run = make_run(tmp_path / "run", **options)
    with pytest.raises((RecipeError, DataError), match=message):
        run_recipe(run)
    assert not (run / "out" / "before.json").exists()
