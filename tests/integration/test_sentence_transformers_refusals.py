"""What our loss refuses, or warns of, inside sentence-transformers' own trainer."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peer_trainer import EXACT, features, make_trainer, texts
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from transformers import TrainerControl, TrainerState

from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.integrations.sentence_transformers import ContrastiveLoss
from hf_contrastive.negatives import InBatchNegatives


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
