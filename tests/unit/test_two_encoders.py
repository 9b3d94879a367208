"""One encoder for anchors and another for all they are compared with: the loss and gradients of two models by hand."""

import copy

import pytest
import torch
from datasets import Dataset
from helpers import save_tiny_checkpoint

from hf_contrastive.arguments import ContrastiveTrainingArguments
from hf_contrastive.errors import RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.negatives import HardNegatives, InBatchNegatives, Joined
from hf_contrastive.training import ContrastiveModel, ContrastiveTrainer
from hf_contrastive.training.build import contrastive_model

LENGTHS = [7, 4, 6, 5, 3, 7, 6, 4, 5, 3]


@pytest.fixture
def encoder(tmp_path) -> SentenceEncoder:
    torch.manual_seed(0)
    folder = save_tiny_checkpoint(tmp_path / "checkpoint")
    return SentenceEncoder.from_pretrained(folder, pooler="cls", head="train_only", dropout=0.0)


def arguments(folder, **options) -> ContrastiveTrainingArguments:
    shared = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "per_device_train_batch_size": 8}
    return ContrastiveTrainingArguments(str(folder), **shared, **options)


@pytest.mark.parametrize("chunks", [{}, {"chunk_size": 2}, {"chunk_size": 2, "recompute": False}])
def test_loss_and_gradients_by_hand(encoder, chunks):
    mask = (torch.arange(7) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(5, 60, (10, 7)) * mask
    second = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(1.1)
    by_hand = [copy.deepcopy(each).train() for each in (encoder, second)]
    joined = Joined([InBatchNegatives(), HardNegatives()])
    model = ContrastiveModel(encoder, joined, second_encoder=second, **chunks).train()
    out = model(ids, mask, torch.arange(10), torch.tensor([0, 3]), LENGTHS)
    out.loss.backward()

    anchors = by_hand[0](ids[:4], mask[:4])
    others = by_hand[1](ids[4:], mask[4:])
    scores = torch.nn.functional.cosine_similarity(anchors[:, None], others[None], dim=-1) / 0.05
    loss = sum(-torch.log_softmax(scores[row], 0)[row] for row in range(4)) / 4
    loss.backward()
    assert out.loss.item() == pytest.approx(loss.item(), rel=1e-5)
    for ours, reference in zip((encoder, second), by_hand, strict=True):
        for (name, mine), theirs in zip(ours.named_parameters(), reference.parameters(), strict=True):
            if theirs.grad is not None:
                torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_the_second_is_a_copy_trained_beside_the_first_which_is_published(encoder, tmp_path):
    args = arguments(tmp_path / "out", max_steps=3, two_encoders=True, head_learning_rate=1e-2)
    rows = {"text": [f"{a} {b} runs" for a in ("a", "the", "one", "two") for b in ("dog", "cat", "man", "car")]}
    trainer = ContrastiveTrainer(encoder, args, Dataset.from_dict(rows))
    model = trainer.contrastive_model
    start = {name: value.clone() for name, value in encoder.state_dict().items()}
    assert all(torch.equal(value, start[name]) for name, value in model.second_encoder.state_dict().items())
    trainer.train()
    first, second = model.encoder.state_dict(), model.second_encoder.state_dict()
    for name in ("head.weight", "backbone.encoder.layer.0.output.dense.weight"):
        assert len({tuple(each[name].flatten().tolist()) for each in (start, first, second)}) == 3
    heads = next(group for group in trainer.optimizer.param_groups if group["initial_lr"] == 1e-2)["params"]
    assert len(heads) == 4
    trainer.save_model(str(tmp_path / "final"))
    published = SentenceEncoder.from_pretrained(tmp_path / "final")
    assert torch.equal(published.encode(["a dog"]), trainer.encoder.encode(["a dog"]))


def test_masks_of_two_encoders_cannot_be_the_same(encoder, tmp_path):
    args = arguments(tmp_path / "out", two_encoders=True, same_dropout_mask=True)
    with pytest.raises(RecipeError, match="masks of two encoders have nothing in common"):
        contrastive_model(encoder, args, "in_batch")
