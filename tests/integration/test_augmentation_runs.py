"""Whole runs whose positives an augmentation makes, killed and resumed; one dropout mask for both views."""

import gzip
import re
from pathlib import Path

import pytest
import torch
from helpers import BERT_SIZES, tiny_tokenizer
from resuming import assert_same_weights, assert_stops_between
from runs import final_weights, log_of, make_run, run_recipe, train_alone, train_until_killed
from transformers import BertConfig, BertForMaskedLM

from hf_contrastive.augmentations import registry
from hf_contrastive.errors import DataError, RecipeError

PAGE = (Path(__file__).parents[2] / "docs" / "augmentations.md").read_text(encoding="utf-8")


def test_killed_and_resumed_on_other_workers_ends_with_the_same_bits(tmp_path: Path) -> None:
    options = {
        "max_steps": 40,
        "eval_steps": 8,
        "save_steps": 8,
        "augmentation": {"name": "word_deletion", "share": 0.3},
        "two_encoders": True,
    }
    whole, cut = make_run(tmp_path / "whole", **options), make_run(tmp_path / "cut", **options)
    train_alone(whole)
    train_until_killed(cut, 21)  # 15 steps an epoch: in the second
    assert_stops_between(cut, 16)
    done = train_alone(cut, "--dataloader_num_workers", "2")
    assert "forked" not in done.stderr  # the tokeniser's warning
    assert_same_weights(whole, cut)


def synonyms_of(folder: Path) -> dict[str, str]:
    folder.mkdir()
    with gzip.open(folder / "synsets.tsv.gz", "wt", encoding="utf-8") as file:
        file.write(
            "".join(f"{w}.n.01\t0\t{w},{o}\tx\n" for w, o in (("dog", "cat"), ("car", "train"), ("boy", "child")))
        )
    return {"name": "synonym", "wordnet": str(folder)}


def masked_lm_in(folder: Path) -> dict[str, str]:
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**BERT_SIZES)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return {"name": "mlm", "model": str(folder)}


@pytest.mark.parametrize(
    "name", ["crop", "word_deletion", "delete_one_word", "mask", "next_sentence", "synonym", "mlm"]
)
def test_every_augmentation_trains(tmp_path: Path, name: str) -> None:
    special = {"synonym": synonyms_of, "mlm": masked_lm_in}
    config = special[name](tmp_path / name) if name in special else name
    run = make_run(tmp_path / "run", augmentation=config)
    assert run_recipe(run)["steps"] == 12
    log = log_of(run)
    assert log[-1]["loss"] < log[0]["loss"]
    shares = [entry["unchanged_positives"] for entry in log]
    assert all(0.1 < share < 0.95 for share in shares) if name == "synonym" else shares == [0] * 6


def test_an_augmentation_is_not_what_dropout_alone_does(tmp_path: Path) -> None:
    weights = []
    for name, options in {"plain": {}, "crop": {"augmentation": "crop"}, "more": {"augmentation": "crop"}}.items():
        run = make_run(tmp_path / name, max_steps=4, dropout=0.0, **options)
        run_recipe(run, *(["--augmentation", "{name: crop, share: 0.5}"] if name == "more" else []))
        weights.append(final_weights(run)["encoder.layer.0.attention.self.query.weight"])
        assert ("unchanged_positives" in log_of(run, 4)[0]) == (name != "plain")
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


def test_one_mask_for_both_views(tmp_path: Path) -> None:
    alignments = {}
    for same in (False, True):
        run = make_run(tmp_path / str(same), same_dropout_mask=same, dropout=0.3, encode_chunk_size=6)
        run_recipe(run)
        alignments[same] = [entry["alignment"] for entry in log_of(run)]
    assert max(alignments[True]) < 1e-6 < min(alignments[False])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentation": "crop", "streaming": True}, "augmentation: a stream's rows have no numbers"),
        ({"augmentation": "crop", "hard_negatives": True}, "makes the positives, and these data bring some"),
        (
            {"augmentation": "crop", "columns": {"anchor": "a", "positive": "b"}},
            "it makes the positives; leave positive out of columns",
        ),
        ({"augmentation": ["crop", "mask"]}, "is not a name or a mapping with the key name"),
        ({"augmentation": {"name": "crap"}}, "did you mean 'crop'"),
        ({"augmentation": "crop", "same_dropout_mask": True}, "an augmentation makes other positives"),
        ({"same_dropout_mask": True, "hard_negatives": True}, "the data bring other positives"),
        ({"augmentation": "mlm"}, "checkpoint has no masked-language-model head"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(tmp_path: Path, options: dict, message: str) -> None:
    run = make_run(tmp_path / "run", **options)
    with pytest.raises((RecipeError, DataError), match=message):
        run_recipe(run)
    assert not (run / "out" / "before.json").exists()


def test_the_printed_augmentation_trains(tmp_path: Path) -> None:
    source = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 20
    try:
        exec(compile(source, "docs/augmentations.md", "exec"), {})
        run = make_run(tmp_path / "run", max_steps=4, augmentation={"name": "swap", "times": 2})
        assert run_recipe(run)["steps"] == 4
    finally:
        registry._REGISTRY.pop("swap", None)
