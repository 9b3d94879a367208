"""Our loss inside sentence-transformers' own trainer: the same as theirs where it should be, how it reads texts."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peer_trainer import features, make_trainer, texts
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from hf_contrastive.integrations.sentence_transformers import ContrastiveLoss
from hf_contrastive.integrations.token_ids import left_aligned, token_keys


def batch_loss(trainer: SentenceTransformerTrainer) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss of the first batch and the model's gradients, as the trainer computes them."""
    inputs = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer.model.zero_grad()
    torch.manual_seed(7)
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}


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
