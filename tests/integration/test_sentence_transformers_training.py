"""Training with our loss in sentence-transformers' own trainer, resumed, and on two ranks."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import DatasetDict
from peer_trainer import EXACT, make_trainer, texts, three_steps
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.integrations.sentence_transformers import ContrastiveLoss

REINFORCE = {**EXACT, "estimator": "reinforce", "fresh": 2}


def generator_of(loss: ContrastiveLoss) -> torch.Tensor:
    """The one of the generator's two matrices that begins at zero."""
    (sampler,) = loss.negatives.learned()
    return sampler.generator.candidate_projection.detach().clone()


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
