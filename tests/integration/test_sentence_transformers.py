"""Our loss inside sentence-transformers' own trainer."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from helpers import WORDS, save_tiny_checkpoint
from safetensors.torch import load_file
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from transformers import TrainerControl, TrainerState

from hf_contrastive.errors import CheckpointError, DataError, RecipeError
from hf_contrastive.integrations.sentence_transformers import ContrastiveLoss
from hf_contrastive.integrations.token_ids import left_aligned, token_keys
from hf_contrastive.negatives import InBatchNegatives

EXACT = {"name": "adversarial", "k": 4, "hidden": 8}
REINFORCE = {**EXACT, "estimator": "reinforce", "fresh": 2}
NAMES = ("anchor", "positive", "negative_1", "negative_2")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """One tiny checkpoint with dropout and one without."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints")
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return {0.1: save_tiny_checkpoint(folder / "on"), 0.0: save_tiny_checkpoint(folder / "off", **off)}


@pytest.fixture
def make_model(checkpoints: dict[float, Path]) -> Callable[..., SentenceTransformer]:
    """A mean-pooled model with the given dropout; every call gives the same weights."""
    return lambda dropout=0.0: SentenceTransformer(str(checkpoints[dropout]), device="cpu")


def texts(rows: int, columns: int, seed: int = 0) -> Dataset:
    """Sentences that all differ, columns of unlike lengths."""
    rng = random.Random(seed)
    lengths = [(3, 5), (6, 12), (2, 8), (3, 4)]
    made: dict[str, list[str]] = {name: [] for name in NAMES[:columns]}
    for name, (low, high) in zip(made, lengths, strict=False):
        while len(made[name]) < rows:
            text = " ".join(rng.choices(WORDS[:60], k=rng.randint(low, high)))
            if not any(text in column for column in made.values()):
                made[name].append(text)
    return Dataset.from_dict(made)


def make_trainer(
    folder: Path, model: SentenceTransformer, loss: Any, data: Any, callbacks: bool = True, **options: Any
) -> SentenceTransformerTrainer:
    defaults = {"max_steps": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "report_to": "none"}
    defaults |= {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1, "seed": 3}
    given = options.pop("given_callbacks", loss.callbacks() if callbacks and hasattr(loss, "callbacks") else None)
    eval_dataset = options.pop("eval_dataset", None)
    args = SentenceTransformerTrainingArguments(str(folder), **{**defaults, **options})
    return SentenceTransformerTrainer(model, args, data, eval_dataset, loss, callbacks=given)


def batch_loss(trainer: SentenceTransformerTrainer) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss of the first batch and the model's gradients, as the trainer computes them."""
    inputs = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer.model.zero_grad()
    torch.manual_seed(7)
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}


def features(model: SentenceTransformer, *columns: list[str]) -> list[dict[str, Any]]:
    return [model.preprocess(column) for column in columns]


def generator_of(loss: ContrastiveLoss) -> torch.Tensor:
    """The one of the generator's two matrices that begins at zero."""
    (sampler,) = loss.negatives.learned()
    return sampler.generator.candidate_projection.detach().clone()


# --- the same as theirs, where it should be ---


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("columns", [2, 3, 4])
def test_in_batch_is_multiple_negatives_ranking(
    tmp_path: Path, make_model: Callable[..., SentenceTransformer], columns: int, dropout: float
) -> None:
    model, data = make_model(dropout), texts(24, columns)
    ours = ContrastiveLoss(model, temperature=0.07)
    expected, gradients = batch_loss(
        make_trainer(tmp_path, model, MultipleNegativesRankingLoss(model, scale=1 / 0.07), data)
    )
    found, own_gradients = batch_loss(make_trainer(tmp_path, model, ours, data))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert own_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own_gradients[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert ours.metrics["negatives"] == 8 * (columns - 1) - 1


def test_training_ends_where_theirs_does(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    weights = []
    for kind in (MultipleNegativesRankingLoss, ContrastiveLoss):
        model = make_model()
        start = {name: value.clone() for name, value in model.state_dict().items()}
        # Plain descent: Adam's first steps are the gradients' signs, which rounding can turn.
        make_trainer(tmp_path, model, kind(model), texts(40, 3), optim="sgd", learning_rate=0.05).train()
        weights.append(model.state_dict())
    assert max((weights[0][name] - value).abs().max() for name, value in start.items()) > 1e-3
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_one_column_is_the_same_column_twice(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    model, data = make_model(0.1), texts(16, 1)
    twice = data.add_column("positive", data["anchor"][:])
    losses = [batch_loss(make_trainer(tmp_path, model, ContrastiveLoss(model), kind))[0] for kind in (data, twice)]
    torch.testing.assert_close(losses[0], losses[1])
    vectors = model.eval()(features(model, data["anchor"][:8])[0])["sentence_embedding"]
    without_dropout = ContrastiveLoss(model)(features(model, data["anchor"][:8]))
    scores = torch.nn.functional.normalize(vectors, dim=-1) @ torch.nn.functional.normalize(vectors, dim=-1).T / 0.05
    torch.testing.assert_close(without_dropout, (scores.logsumexp(1) - 20).mean())
    assert abs(losses[0] - without_dropout) > 1e-3  # two masks, in training


# --- texts ---


def test_keys_are_the_same_hash_as_in_plain_integers() -> None:
    rows = [[2, 40, 7, 3], [2, 0, 3], [7, 2, 40, 3], [30521]]
    ids = torch.zeros(4, 6, dtype=torch.long)
    mask = torch.zeros(4, 6, dtype=torch.long)
    for number, row in enumerate(rows):
        left = number % 2 * (6 - len(row))  # padded on the left and on the right in turns
        ids[number, left : left + len(row)] = torch.tensor(row)
        mask[number, left : left + len(row)] = 1

    def mixed(number: int) -> int:
        full = (1 << 64) - 1
        number = number * 0x9E3779B97F4A7C15 & full
        number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & full
        number = (number ^ number >> 27) * 0x94D049BB133111EB & full
        return number ^ number >> 31

    expected = [sum(mixed((place << 32) + token) for place, token in enumerate(row, 1)) % (1 << 64) for row in rows]
    assert [key % (1 << 64) for key in token_keys(ids, mask).tolist()] == expected
    assert len(set(expected)) == 4
    aligned, aligned_mask = left_aligned(ids, mask)
    assert [row[kept.bool()].tolist() for row, kept in zip(aligned, aligned_mask, strict=True)] == rows
    assert all(kept[: len(row)].all() for row, kept in zip(rows, aligned_mask, strict=True))


@pytest.mark.parametrize("side", ["right", "left"])
def test_duplicates_are_left_out(make_model: Callable[..., SentenceTransformer], side: str) -> None:
    """By hand, in float64: whose text is the anchor's or its positive's is no negative, whatever column it is in."""
    model = make_model()
    model.tokenizer.padding_side = side
    a, b, c = "a dog runs", "the old man sits outside with a small blue guitar", "two birds"
    columns = [[a, b, a, c], ["a cat", a, "the city at night", "a cat"], [b, c, "no music", "a bird sings slow"]]
    anchors, positives, hard = (torch.nn.functional.normalize(model(f)["sentence_embedding"].detach().double(), dim=-1)
                                for f in features(model, *columns))  # fmt: skip
    total = 0.0
    for i in range(4):
        scores = [float(anchors[i] @ positives[i]) / 0.05]
        for j in range(4):
            is_other = columns[1][j] not in (columns[0][i], columns[1][i]) and columns[0][j] != columns[0][i]
            scores += [float(anchors[i] @ positives[j]) / 0.05] if i != j and is_other else []
            is_other = columns[2][j] not in (columns[0][i], columns[1][i])
            scores += [float(anchors[i] @ hard[j]) / 0.05] if is_other else []
        total += math.log(sum(math.exp(score) for score in scores)) - scores[0]
    found = ContrastiveLoss(model)(features(model, *columns))
    assert float(found.detach()) == pytest.approx(total / 4, rel=1e-5)
    theirs = float(MultipleNegativesRankingLoss(model)(features(model, *columns), None).detach())
    assert float(found.detach()) < theirs - 0.1
    kept = ContrastiveLoss(model, mask_duplicates=False)(features(model, *columns))
    assert float(kept.detach()) == pytest.approx(theirs, rel=1e-5)


def test_each_rows_own_hard_negatives_have_the_weight(make_model: Callable[..., SentenceTransformer]) -> None:
    """By hand, with two columns of them: rows of different columns, and all of one column, belong to one anchor."""
    model = make_model()
    columns = [["a dog", "two", "no music"], ["a cat", "three", "one song"]]
    columns += [["a bird", "four fish", "the city"], ["the river", "some food", "a boy sleeps"]]
    anchors, positives, *hard = (torch.nn.functional.normalize(model(f)["sentence_embedding"].detach(), dim=-1)
                                 for f in features(model, *columns))  # fmt: skip
    scores = torch.cat([anchors @ rows.T for rows in (positives, *hard)], dim=1) / 0.05
    factor = torch.cat([torch.ones(3, 3), torch.ones(3, 3) + 2 * torch.eye(3), torch.ones(3, 3) + 2 * torch.eye(3)], 1)
    expected = (scores + factor.log()).logsumexp(1) - scores[:, :3].diagonal()
    found = ContrastiveLoss(model, ["in_batch", {"name": "hard", "weight": 3}])(features(model, *columns))
    torch.testing.assert_close(found.detach(), expected.mean(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("side", ["right", "left"])
def test_bank_holds_the_positives_as_the_model_read_them(
    make_model: Callable[..., SentenceTransformer], side: str
) -> None:
    """What comes out of the bank and is encoded anew has the vector the sentence had."""
    model = make_model()
    model.max_seq_length = 16
    model.tokenizer.padding_side = side
    loss = ContrastiveLoss(model.train(), negatives={"name": "uniform", "k": 4, "fresh": True}, bank_size=6)
    columns = [["a dog", "two birds sing", "no"], ["a cat runs by the river", "birds", "nobody ever sings"]]
    inputs = features(model, *columns)
    for column in inputs:  # as BERT's own tokeniser gives them
        column["token_type_ids"] = torch.zeros_like(column["input_ids"])
    loss([dict(column) for column in inputs])
    bank = loss.contrast.bank
    expected = torch.nn.functional.normalize(model(dict(inputs[1]))["sentence_embedding"], dim=-1)
    assert bank.written.tolist() == [True] * 3 + [False] * 3
    torch.testing.assert_close(bank.vectors[:3].float(), expected, rtol=0, atol=1e-3)
    again = loss._encode_like(inputs[1])(*bank.sentences(torch.tensor([2, 0, 1])))
    model.tokenizer.padding_side = "right"  # as the bank pads; BERT counts its positions from the padding
    expected = torch.nn.functional.normalize(model(*features(model, columns[1]))["sentence_embedding"], dim=-1)
    torch.testing.assert_close(again, expected[[2, 0, 1]], rtol=1e-4, atol=1e-5)
    assert bank.keys[:3].tolist() == token_keys(inputs[1]["input_ids"], inputs[1]["attention_mask"]).tolist()
    loss([dict(column) for column in inputs])
    # Of the drawn rows those written are used, without the ones that are duplicates: all of the three texts recur.
    assert bank.written.all() and 0 < loss.metrics["negatives"] < 4


# --- training ---


@pytest.mark.parametrize(
    "negatives",
    [
        ["in_batch", "hard", {"name": "uniform", "k": 6, "fresh": True}],
        ["in_batch", "hard", "queue"],
        ["hard", {"name": "cached", "k": 4, "slots": 64}],
        ["in_batch", "hard", EXACT],
        ["in_batch", "hard", REINFORCE],
        ["hard", {"name": "mixture", "parts": ["in_batch", EXACT], "lambda": {"start": 1.0, "end": 0.5, "steps": 3}}],
        ["hard", {"name": "filtered", "part": "in_batch", "guide_margin": 0.0}],
    ],
    ids=str,
)
def test_trains_and_leaves_a_folder_without_a_sampler(
    tmp_path: Path, make_model: Callable[..., SentenceTransformer], negatives: Any
) -> None:
    model = make_model(0.1)
    loss = ContrastiveLoss(model, negatives=negatives, bank_size=24)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    trainer = make_trainer(tmp_path / "out", model, loss, texts(40, 3), save_strategy="steps", save_steps=4)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 4 and all(map(math.isfinite, losses))
    after = loss.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    for name in before:
        if "projection" in name or name.endswith("layer.0.attention.self.query.weight"):
            assert name in changed, name
    if loss.contrast.bank is not None:
        assert int(loss.contrast.bank.written.sum()) == 24
    learned = loss.negatives.learned()
    if learned:
        logged = trainer.state.log_history[3]
        assert {"hardness", "generator_entropy", "negatives"} <= logged.keys()

    checkpoint = tmp_path / "out" / "checkpoint-4"
    assert (checkpoint / "negatives.safetensors").exists() == bool(loss.contrast.state_dict())
    trainer.save_model(str(tmp_path / "final"))
    model.save_pretrained(str(tmp_path / "saved"))
    for folder in (tmp_path / "final", tmp_path / "saved"):
        weights = [path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")]
        assert weights == ["model.safetensors"]
        names = set(load_file(folder / "model.safetensors"))
        assert names == {name.split(".", 2)[2] for name in model.state_dict()}  # 0.model.NAME
        again = SentenceTransformer(str(folder), device="cpu")
        sentences = ["a man plays the guitar", "no"]
        torch.testing.assert_close(
            again.encode(sentences, convert_to_tensor=True), model.encode(sentences, convert_to_tensor=True)
        )
    card = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert "ContrastiveLoss" in card and '"temperature": 0.05' in card
    assert ("Adversarial Contrastive Estimation" if learned else "Simple Contrastive Learning") in card


def test_generator_has_its_own_learning_rate_clipping_and_weight_decay(
    tmp_path: Path, make_model: Callable[..., SentenceTransformer]
) -> None:
    def step(**options: Any) -> tuple[torch.Tensor, float, dict[str, Any]]:
        """What two steps change in the generator, and at most in the encoder; and the generator's group."""
        model = make_model()
        loss = ContrastiveLoss(model, ["in_batch", {**EXACT, "learning_rate": 0.02, **options}], bank_size=16)
        start, weights = generator_of(loss), [p.detach().clone() for p in model.parameters()]
        trainer = make_trainer(
            tmp_path, model, loss, texts(16, 2), max_steps=2, learning_rate=1e-5, weight_decay=0.5,
            lr_scheduler_type="constant",
        )  # fmt: skip
        trainer.train()
        own = {id(p) for p in loss.negatives.parameters()}
        (group,) = [g for g in trainer.optimizer.param_groups if own & {id(p) for p in g["params"]}]
        assert {id(p) for p in group["params"]} == own
        assert all(parameter.grad is None for parameter in loss.negatives.parameters())
        moved = max(float((p - q).detach().abs().max()) for p, q in zip(model.parameters(), weights, strict=True))
        return (generator_of(loss) - start).abs(), moved, group

    change, encoder_change, group = step()
    # Adam after gradients 0 (the bank is empty) and g: wherever g is not tiny, the learning rate times this.
    factor = (0.1 / (1 - 0.9**2)) / math.sqrt(0.001 / (1 - 0.999**2))
    assert float(change.max()) == pytest.approx(0.02 * factor, rel=1e-3)
    assert 0 < encoder_change < 3e-5
    assert group["weight_decay"] == 0.0 and group["lr"] == 0.02
    clipped, *_ = step(max_grad_norm=1e-12)
    assert float(clipped.max()) < 0.02 * 1e-3


@pytest.mark.parametrize("accumulation", [1, 2])
def test_steps_are_the_optimizers(
    tmp_path: Path, make_model: Callable[..., SentenceTransformer], accumulation: int
) -> None:
    """A generator updated every second step: steps 0 and 2 change it, step 1 does not."""
    found = []
    for steps in (1, 2, 3):
        model = make_model()
        loss = ContrastiveLoss(model, ["in_batch", {**EXACT, "update_every": 2}], bank_size=16)
        options = {"max_steps": steps, "gradient_accumulation_steps": accumulation, "lr_scheduler_type": "constant"}
        make_trainer(tmp_path, model, loss, texts(48, 2), **options).train()
        found.append(generator_of(loss))
        assert loss.step == steps - 1
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])


def test_arguments_are_left_as_they_were(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    """The next trainer of the same arguments may have a loss without a generator."""
    model = make_model()
    trainer = make_trainer(tmp_path, model, ContrastiveLoss(model, ["in_batch", EXACT], bank_size=8), texts(16, 2))
    assert list(trainer.args.learning_rate_mapping.values()) == [1e-3]
    trainer.train()
    assert trainer.args.learning_rate_mapping == {}
    trainer.train()  # the optimizer, with its groups, is still there
    SentenceTransformerTrainer(model, trainer.args, texts(16, 2), loss=MultipleNegativesRankingLoss(model)).train()


def test_a_learning_rate_the_user_maps_stays(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    model = make_model()
    loss = ContrastiveLoss(model, ["in_batch", EXACT], bank_size=8)
    mapping = {r"generator\.": 0.5}
    trainer = make_trainer(
        tmp_path, model, loss, texts(16, 2), learning_rate_mapping=mapping, max_steps=1, lr_scheduler_type="constant"
    )
    trainer.train()
    assert sorted({group["lr"] for group in trainer.optimizer.param_groups}) == [1e-3, 0.5]
    assert trainer.args.learning_rate_mapping == mapping


def test_evaluation_changes_nothing(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    """Dropout off: whoever reads data draws random numbers that masks would have been made of."""
    states = []
    for extra in ({}, {"eval_dataset": texts(20, 2, seed=5), "eval_strategy": "steps", "eval_steps": 1}):
        model = make_model()
        loss = ContrastiveLoss(model, ["in_batch", REINFORCE], bank_size=16)
        trainer = make_trainer(tmp_path, model, loss, texts(40, 2), **extra)
        trainer.train()
        states.append(loss.state_dict())
    assert sum("eval_loss" in entry for entry in trainer.state.log_history) == 4
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


@pytest.mark.parametrize("negatives", [["in_batch", REINFORCE], ["in_batch", {"name": "uniform", "fresh": True}]])
def test_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, make_model: Callable[..., SentenceTransformer], negatives: Any
) -> None:
    options = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3}

    def start(folder: Path, bank_size: int = 16, **where: Any) -> tuple[ContrastiveLoss, SentenceTransformerTrainer]:
        model = make_model(0.1)
        loss = ContrastiveLoss(model, negatives, bank_size=bank_size)
        given = loss.callbacks(**where)
        return loss, make_trainer(folder, model, loss, texts(40, 2), given_callbacks=given, **options)

    whole, trainer = start(tmp_path / "run")
    trainer.train()
    shutil.rmtree(tmp_path / "run" / "checkpoint-6")
    cut, trainer = start(tmp_path / "run")
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 6
    assert all(torch.equal(cut.state_dict()[name], value) for name, value in whole.state_dict().items())

    # A checkpoint of another folder: the trainer knows where it is, a callback has to be told.
    moved = tmp_path / "moved" / "checkpoint-3"
    shutil.copytree(tmp_path / "run" / "checkpoint-3", moved)
    _, trainer = start(tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"is not the checkpoint of step 3.*resume_from_checkpoint=FOLDER"):
        trainer.train(resume_from_checkpoint=str(moved))
    again, trainer = start(tmp_path / "other", resume_from_checkpoint=moved)
    trainer.train(resume_from_checkpoint=str(moved))
    assert all(torch.equal(again.state_dict()[name], value) for name, value in whole.state_dict().items())

    # The output folder may hold the same step of another run.
    log = json.loads((moved / "trainer_state.json").read_text())
    log["log_history"][0]["loss"] += 1
    (moved / "trainer_state.json").write_text(json.dumps(log))
    _, trainer = start(tmp_path / "run")
    with pytest.raises(CheckpointError, match="is not the checkpoint of step 3"):
        trainer.train(resume_from_checkpoint=str(moved))

    _, trainer = start(tmp_path / "run", bank_size=20)
    with pytest.raises(CheckpointError, match=r"bank\.anchor_keys has shape \(16,\) there, \(20,\) in this loss"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    (tmp_path / "run" / "checkpoint-3" / "negatives.safetensors").unlink()
    _, trainer = start(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"negatives\.safetensors: the sampler's state cannot be read"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))


def test_a_loss_for_each_dataset(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    model = make_model()
    data = DatasetDict(pairs=texts(24, 2), triplets=texts(24, 3, seed=1))
    losses = {"pairs": ContrastiveLoss(model, ["in_batch", EXACT], bank_size=8), "triplets": ContrastiveLoss(model)}
    losses["triplets"] = ContrastiveLoss(model, ["in_batch", "hard", "queue"], bank_size=12)
    same = [callback for loss in losses.values() for callback in loss.callbacks()]
    with pytest.raises(RecipeError, match=r"keep their samplers in negatives\.safetensors; give each a name"):
        make_trainer(tmp_path, model, losses, data, given_callbacks=same).train()
    named = [callback for name, loss in losses.items() for callback in loss.callbacks(name=name)]
    options = {"save_strategy": "steps", "max_steps": 6, "save_steps": 6}
    trainer = make_trainer(tmp_path, model, losses, data, given_callbacks=named, **options)
    trainer.train()
    assert {"pairs_hardness", "triplets_negatives"} <= trainer.state.log_history[-2].keys()
    for name, size in {"pairs": 8, "triplets": 12}.items():
        assert len(load_file(tmp_path / "checkpoint-6" / f"negatives_{name}.safetensors")["bank.keys"]) == size
        assert losses[name].contrast.bank.written.any()


# --- what cannot work ---


@pytest.mark.parametrize(
    ("options", "columns", "error", "message"),
    [
        ({"negatives": "in_batch"}, 3, DataError, "data have 3 columns.*that no sampler uses; add hard"),
        ({"negatives": ["in_batch", "hard"]}, 2, DataError, r"hard finds no hard negatives: the data have 2 column"),
        ({"negatives": ["in_batch", EXACT]}, 2, RecipeError, r"learns or follows a schedule.*callbacks=loss\.callb"),
        (
            {"negatives": {"name": "mixture", "parts": ["in_batch", "queue"], "lambda": {"start": 1, "end": 0}}},
            2,
            RecipeError,
            "learns or follows a schedule",
        ),
        ({"negatives": "unigram"}, 2, RecipeError, "unigram needs counts"),
        ({"negatives": "inbatch"}, 2, RecipeError, "unknown sampler 'inbatch'; did you mean 'in_batch'"),
        ({"objective": "nce"}, 2, RecipeError, "nce needs negatives drawn with a known probability"),
        ({"objective": "infonse"}, 2, RecipeError, "unknown objective 'infonse'"),
        ({"temperature": 0}, 2, ValueError, "temperature must be greater than 0"),
        ({"negatives": "queue", "bank_size": 0}, 2, RecipeError, "bank_size: must be positive"),
        ({"negatives": "queue", "max_length": 16}, 2, RecipeError, r"128 tokens.*set model\.max_seq_length = 16"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_at_the_first_batch_or_before(
    make_model: Callable[..., SentenceTransformer], options: dict, columns: int, error: type, message: str
) -> None:
    model = make_model().train()
    with pytest.raises(error, match=message):
        ContrastiveLoss(model, **options)(features(model, *(["a dog", "a cat"] for _ in range(columns))))


def test_known_pairs_are_refused(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    (tmp_path / "known.tsv").write_text("anchor\tpositive\na dog\ta cat\n")
    filtered = {"name": "filtered", "part": "in_batch", "known": str(tmp_path / "known.tsv")}
    with pytest.raises(RecipeError, match="compares known pairs by their text.*guide_margin"):
        ContrastiveLoss(make_model(), filtered)


def test_inputs_it_cannot_read_are_refused(make_model: Callable[..., SentenceTransformer]) -> None:
    model = make_model().train()
    columns = features(model, ["a dog", "two"], ["a cat", "three birds"])
    del columns[1]["attention_mask"]
    with pytest.raises(DataError, match=r"column 1 comes with input_ids.*model\[0\]\.unpad_inputs = False"):
        ContrastiveLoss(model)(columns)
    with pytest.raises(DataError, match="no column"):
        ContrastiveLoss(model)([])
    with pytest.raises(RecipeError, match="expected a SentenceTransformer, got Linear"):
        ContrastiveLoss(torch.nn.Linear(2, 2))

    model.max_seq_length = 4
    loss = ContrastiveLoss(model, "queue", bank_size=4)
    model.max_seq_length = 16
    with pytest.raises(DataError, match="a positive has 7 tokens, rows of the bank have room for 4"):
        loss(features(model, ["a"], ["a dog and a cat"]))
    cut = MatryoshkaLoss(model, ContrastiveLoss(model, "queue", bank_size=4), [32, 8])
    with pytest.raises(DataError, match="embeddings have 8 dimensions here, those of the bank 32"):
        cut(features(model, ["a", "b"], ["a dog", "two"]), None)
    assert MatryoshkaLoss(model, ContrastiveLoss(model), [32, 8])(features(model, ["a", "no"], ["a dog", "two"]), None)


def test_prompts_of_a_bank_must_not_change(make_model: Callable[..., SentenceTransformer]) -> None:
    model = make_model()
    model[1].include_prompt = False
    loss = ContrastiveLoss(model.train(), {"name": "uniform", "k": 3, "fresh": True}, bank_size=4)

    def columns(prompt: str, length: Any) -> list[dict[str, Any]]:
        positives = model.preprocess(["a cat runs", "two birds"], prompt=prompt)
        return [model.preprocess(["a dog", "a bird"]), {**positives, "prompt_length": length}]

    loss(columns("the old ", 3))
    assert loss(columns("the old ", torch.tensor([3]))).isfinite()  # as some collators give it
    written = loss.contrast.bank.vectors[:2].float()
    encode = loss._encode_like(columns("the old ", 3)[1])
    torch.testing.assert_close(encode(*loss.contrast.bank.sentences(torch.arange(2))), written, rtol=0, atol=1e-3)
    with pytest.raises(DataError, match="more than one prompt_length, which a bank does not keep"):
        loss(columns("the ", 2))
    model.eval()
    loss(columns("the ", 2))  # evaluation draws from the bank of training


def test_says_that_a_bank_is_in_no_checkpoint(
    make_model: Callable[..., SentenceTransformer], caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model().train()
    loss = ContrastiveLoss(model, "queue", bank_size=4)
    for _ in range(2):
        loss(features(model, ["a", "no"], ["a dog", "two"]))
    assert [record.message for record in caplog.records if "in no checkpoint" in record.message] == [
        "The bank of negatives is in no checkpoint; give the trainer callbacks=loss.callbacks()."
    ]


def test_callbacks_of_another_loss_are_noticed(tmp_path: Path, make_model: Callable[..., SentenceTransformer]) -> None:
    model = make_model()
    loss, other = (ContrastiveLoss(model, ["in_batch", EXACT], bank_size=8) for _ in range(2))
    with pytest.raises(RecipeError, match="no group of the learned sampler's own"):
        make_trainer(tmp_path, model, loss, texts(16, 2), given_callbacks=other.callbacks()).train()


def test_ragged_batches_on_several_ranks_are_refused(make_model: Callable[..., SentenceTransformer]) -> None:
    loss = ContrastiveLoss(make_model())
    args = SimpleNamespace(world_size=2, dataloader_drop_last=False)
    with pytest.raises(RecipeError, match="dataloader_drop_last: set it to True"):
        loss.callbacks()[0].on_train_begin(args, TrainerState(), TrainerControl())
    with pytest.raises(RecipeError, match=r"name: 'a/b' cannot be part of a file's name"):
        loss.callbacks(name="a/b")


def test_configuration_for_the_card(make_model: Callable[..., SentenceTransformer]) -> None:
    model = make_model()
    config = ContrastiveLoss(model, InBatchNegatives(), objective="triplet", margin=0.3).get_config_dict()
    assert config["margin"] == 0.3 and isinstance(config["negatives"], InBatchNegatives)
    assert ContrastiveLoss(model).get_config_dict()["negatives"] == ["in_batch", "hard"]


# --- two ranks ---


def three_steps(checkpoint: str, out: Path) -> dict[str, torch.Tensor]:
    """State after three steps on 8 rows each, dealt to as many ranks as there are."""
    loss = ContrastiveLoss(
        SentenceTransformer(checkpoint, device="cpu"),
        ["in_batch", "hard", {**EXACT, "learning_rate": 0.1}],
        bank_size=24,
    )
    options = {"max_steps": 3, "optim": "sgd", "learning_rate": 0.05, "dataloader_drop_last": True}
    rows = 8 // int(os.environ.get("WORLD_SIZE", "1"))
    make_trainer(out, loss.model, loss, texts(40, 3), per_device_train_batch_size=rows, **options).train()
    return {name.replace("model.module.", "model."): value for name, value in loss.state_dict().items()}


@pytest.mark.distributed
def test_two_ranks_end_with_the_weights_of_one_process(tmp_path: Path, checkpoints: dict[float, Path]) -> None:
    """Dropout off. accelerate deals batch i to rank i % 2, so two batches of 4 hold the rows of one of 8."""
    checkpoint = str(checkpoints[0.0])
    worker = str(Path(__file__).with_name("worker_sentence_transformers.py"))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29547"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command += [worker, checkpoint, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    first, second = (load_file(tmp_path / f"rank{number}.safetensors") for number in range(2))
    one = three_steps(checkpoint, tmp_path / "one")
    assert one.keys() == first.keys() == second.keys()
    for name, value in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-5, msg=name)
    start = ContrastiveLoss(SentenceTransformer(checkpoint, device="cpu"), ["in_batch", "hard", EXACT])
    moved = generator_of(start) - one["contrast.negatives.parts.2.generator.candidate_projection"]
    assert moved.abs().max() > 1e-4  # far more than the comparison lets pass
