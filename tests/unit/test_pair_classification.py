"""SBERT's classification objective: by hand in float64, beside sentence-transformers, in chunks; labels checked."""

import copy
import logging
import math
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset
from helpers import save_tiny_checkpoint, tiny_tokenizer

from hf_contrastive.arguments import ContrastiveTrainingArguments, DataArguments, NegativesArguments
from hf_contrastive.data import LabelledPairCollator, load_training_data, tokenize_dataset
from hf_contrastive.data.labels import label_cell
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.objectives import SoftmaxClassifier
from hf_contrastive.training import ContrastiveTrainer, PairClassificationModel
from hf_contrastive.training.build import contrastive_model

FIRST = ["a man plays the guitar", "the dog runs", "two women walk by the river , slow and happy", "a cat sleeps"]
SECOND = ["a man plays music", "the dog sleeps", "some women walk", "a big horse jumps near the old house ."]
LABELS = [0, 2, 1, 2]
NAMES = ("entailment", "neutral", "contradiction")


@pytest.fixture
def encoder(tmp_path: Path) -> SentenceEncoder:
    torch.manual_seed(0)
    return SentenceEncoder.from_pretrained(save_tiny_checkpoint(tmp_path / "checkpoint"), pooler="avg", dropout=0.0)


def batch() -> dict:
    rows = zip(tiny_tokenizer()(FIRST)["input_ids"], tiny_tokenizer()(SECOND)["input_ids"], LABELS, strict=True)
    views = [{"tokens": [first, second], "keys": [0, 1], "label": label} for first, second, label in rows]
    return LabelledPairCollator(tiny_tokenizer())(views)


def arguments(folder: Path, **options: object) -> ContrastiveTrainingArguments:
    shared = {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "per_device_train_batch_size": 4}
    return ContrastiveTrainingArguments(str(folder), objective="softmax_classifier", **shared, **options)


def test_loss_and_gradients_by_hand_in_float64() -> None:
    torch.manual_seed(0)
    head = SoftmaxClassifier(5, 4).double()
    u, v = (torch.randn(6, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    loss, logits = head(u, v, labels)
    weight, bias = head.linear.weight.tolist(), head.linear.bias.tolist()
    total, probabilities = 0.0, []
    for row in range(6):
        a, b = u[row].tolist(), v[row].tolist()
        x = [*a, *b, *(abs(p - q) for p, q in zip(a, b, strict=True))]
        scores = [sum(w * f for w, f in zip(weight[k], x, strict=True)) + bias[k] for k in range(4)]
        assert logits[row].tolist() == pytest.approx(scores, abs=1e-12)
        shares = [math.exp(s) / sum(map(math.exp, scores)) for s in scores]
        total -= math.log(shares[labels[row]])
        probabilities.append(shares)
    assert loss.item() == pytest.approx(total / 6, abs=1e-12)
    loss.backward()
    for row in range(6):
        error = [(p - (k == int(labels[row]))) / 6 for k, p in enumerate(probabilities[row])]
        for d in range(5):
            sign = 1 if u[row, d] > v[row, d] else -1
            by_u = sum(e * (weight[k][d] + sign * weight[k][10 + d]) for k, e in enumerate(error))
            by_v = sum(e * (weight[k][5 + d] - sign * weight[k][10 + d]) for k, e in enumerate(error))
            assert u.grad[row, d].item() == pytest.approx(by_u, abs=1e-12)
            assert v.grad[row, d].item() == pytest.approx(by_v, abs=1e-12)
    errors = torch.tensor(probabilities, dtype=torch.float64) - torch.nn.functional.one_hot(labels, 4)
    torch.testing.assert_close(head.linear.bias.grad, errors.mean(0))


def test_equals_the_softmax_loss_of_sentence_transformers(encoder: SentenceEncoder, tmp_path: Path) -> None:
    st = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.losses import SoftmaxLoss

    encoder.save_pretrained(tmp_path / "st")
    theirs = st.SentenceTransformer(str(tmp_path / "st"), device="cpu").train()
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    reference = SoftmaxLoss(theirs, encoder.width, 3)
    model = PairClassificationModel(encoder, 3).train()
    model.classifier.linear.load_state_dict(reference.classifier.state_dict())
    out = model(**batch())
    out.loss.backward()
    loss = reference([theirs.preprocess(texts) for texts in (FIRST, SECOND)], torch.tensor(LABELS))
    loss.backward()
    assert out.loss.item() == pytest.approx(loss.item(), abs=1e-5)
    torch.testing.assert_close(
        model.classifier.linear.weight.grad, reference.classifier.weight.grad, rtol=0, atol=1e-5
    )
    expected = {name: p.grad for name, p in theirs[0].auto_model.named_parameters() if p.grad is not None}
    ours = {name: p.grad for name, p in encoder.backbone.named_parameters() if p.grad is not None}
    assert len(ours) > 40 and expected.keys() == ours.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("recompute", [True, False])
def test_chunks_give_the_same_loss_and_gradients(encoder: SentenceEncoder, recompute: bool) -> None:
    torch.manual_seed(1)
    whole = PairClassificationModel(encoder).double().train()
    chunked = PairClassificationModel(copy.deepcopy(encoder), chunk_size=3, recompute=recompute).double().train()
    chunked.classifier.load_state_dict(whole.classifier.state_dict())
    losses = [model(**batch()).loss for model in (whole, chunked)]
    for loss in losses:
        loss.backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-6)
    for (name, mine), theirs in zip(whole.named_parameters(), chunked.parameters(), strict=True):
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_accuracy_is_that_of_the_batch(encoder: SentenceEncoder) -> None:
    model = PairClassificationModel(encoder).eval()
    torch.nn.init.zeros_(model.classifier.linear.weight)
    model.classifier.linear.bias.data = torch.tensor([0.0, 0.0, 1.0])
    assert model(**batch()).metrics["accuracy"] == 0.5


def test_bfloat16_leaves_the_classifier_alone(encoder: SentenceEncoder) -> None:
    head = SoftmaxClassifier(encoder.width)
    u, v = torch.randn(4, encoder.width), torch.randn(4, encoder.width)
    plain = head(u, v, torch.tensor(LABELS))[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(u, v, torch.tensor(LABELS))[0], plain)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("neutral", 1), (" contradiction ", 2), (0, 0), ("2", 2), ("-", -1), (-1, -1), ("-1", -1)],
)
def test_label_cells(value: object, expected: int) -> None:
    assert label_cell(value, "label", NAMES, "x") == expected


def test_names_that_are_numbers_are_names() -> None:
    assert label_cell("2", "label", ("2", "5"), "x") == 0 and label_cell(5, "label", ("2", "5"), "x") == 1
    assert label_cell("-", "label", ("+", "-"), "x") == 1


@pytest.mark.parametrize("value", ["entails", "", None, 3, "3", 2.4, "Neutral", True])
def test_labels_that_are_none_are_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"a.tsv, line 7, column 'gold': label .* is none of 'entailment', 'neutral'"):
        label_cell(value, "gold", NAMES, "a.tsv, line 7")


def write(folder: Path, labels: list[str]) -> Path:
    rows = [f"the {i} dog\ta cat {i}\t{label}\tx" for i, label in enumerate(labels)]
    (folder / "pairs.tsv").write_text("\n".join(["premise\thypothesis\tgold\tsource", *rows]) + "\n")
    return folder / "pairs.tsv"


COLUMNS = "{sentence1: premise, sentence2: hypothesis, label: gold}"


@pytest.mark.parametrize("streaming", [False, True])
def test_files_into_batches(tmp_path: Path, streaming: bool, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, ["neutral", "-", "entailment", "contradiction"])
    with caplog.at_level(logging.INFO, logger="hf_contrastive"):
        loaded = load_training_data(DataArguments(str(path), columns=COLUMNS, streaming=streaming))
    if not streaming:
        assert "1 of 4 rows have no label and are left out" in caplog.text
    tokenized, _ = tokenize_dataset(loaded, tiny_tokenizer(), 8)
    rows = list(tokenized)
    assert [row["label"] for row in rows] == [1, 0, 2]
    assert tokenized.features["label"].names == list(NAMES)
    found = LabelledPairCollator(tiny_tokenizer())(rows)
    assert found["labels"].tolist() == [1, 0, 2] and set(found) == {"input_ids", "attention_mask", "lengths", "labels"}
    texts = tiny_tokenizer().batch_decode(found["input_ids"], skip_special_tokens=True)
    assert [text.split()[0] for text in texts] == ["the"] * 3 + ["a"] * 3


def test_a_wrong_label_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, ["neutral", "entailment", "entails"])
    with pytest.raises(DataError, match=r"pairs.tsv, line 4, column 'gold': label 'entails'"):
        load_training_data(DataArguments(str(path), columns=COLUMNS))
    named = load_training_data(
        DataArguments(str(path), columns=COLUMNS, labels=["entails", "neutral", "entailment", "x"])
    )
    assert named["label"][:] == [1, 2, 0]


def test_classes_of_a_column_type_are_taken(encoder: SentenceEncoder, tmp_path: Path) -> None:
    rows = Dataset.from_dict({"sentence1": FIRST, "sentence2": SECOND, "label": [1, 0, -1, 1]})
    two = rows.cast_column("label", ClassLabel(names=["yes", "no"]))
    trainer = ContrastiveTrainer(encoder, arguments(tmp_path, per_device_eval_batch_size=4), two.select([0, 1, 3, 0]))
    assert trainer.contrastive_model.classifier.classes == 2
    assert [row["label"] for row in trainer.train_dataset] == [1, 0, 1, 1]
    with pytest.raises(DataError, match="3 rows do not fill one global batch of 4"):
        ContrastiveTrainer(encoder, arguments(tmp_path), two)


def test_data_that_teach_nothing_are_refused(encoder: SentenceEncoder, tmp_path: Path) -> None:
    pairs = {"sentence1": FIRST, "sentence2": SECOND}
    rows = Dataset.from_dict({**pairs, "label": ["neutral"] * 4})
    with pytest.raises(DataError, match="rows 0 to 3 have the same label, 'neutral', so that there is nothing to"):
        ContrastiveTrainer(encoder, arguments(tmp_path), rows)
    unlabelled = Dataset.from_dict({"anchor": FIRST, "positive": SECOND})
    with pytest.raises(DataError, match="softmax_classifier wants pairs of sentences with a label"):
        ContrastiveTrainer(encoder, arguments(tmp_path), unlabelled)
    labelled = Dataset.from_dict({**pairs, "label": LABELS})
    contrast = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, per_device_train_batch_size=4)
    with pytest.raises(DataError, match="the pairs have labels, which only objective softmax_classifier reads"):
        ContrastiveTrainer(encoder, contrast, labelled)
    with pytest.raises(DataError, match="the data have 3 classes and the model tells 2 apart"):
        ContrastiveTrainer(PairClassificationModel(encoder, 2), arguments(tmp_path), labelled)
    with pytest.raises(DataError, match="it makes the positives, and these data bring some"):
        ContrastiveTrainer(encoder, arguments(tmp_path), labelled, augmentation="crop")


@pytest.mark.parametrize("key", ["temperature", "symmetric", "two_encoders", "same_dropout_mask", "mlm_weight"])
def test_what_contrasts_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(RecipeError, match=f"{key}: objective softmax_classifier contrasts nothing; leave {key} out"):
        arguments(tmp_path, **{key: 0.1 if key in ("temperature", "mlm_weight") else True})


def test_negatives_are_refused(encoder: SentenceEncoder, tmp_path: Path) -> None:
    args = arguments(tmp_path)
    with pytest.raises(RecipeError, match="negatives: objective softmax_classifier has no negatives; leave out nega"):
        contrastive_model(encoder, args, ["in_batch", "hard"])
    options = NegativesArguments(bank_size=10, mask_duplicates=False)
    with pytest.raises(RecipeError, match="has no negatives; leave out mask_duplicates, bank_size"):
        contrastive_model(encoder, args, options.sampler_configs, options)


def test_columns_and_labels_of_a_recipe() -> None:
    for columns in ("{sentence1: a, label: c}", "{anchor: a, positive: b, label: c}"):
        with pytest.raises(RecipeError, match="pairs with a label have the keys sentence1, sentence2, label"):
            DataArguments("x.tsv", columns=columns)
    for labels in (["one"], ["a", "b", "a"]):
        with pytest.raises(RecipeError, match="labels: must be at least 2 different names"):
            DataArguments("x.tsv", columns=COLUMNS, labels=labels)


def test_labels_without_a_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a dog\n")
    with pytest.raises(DataError, match="labels names classes, and no column of labels is read"):
        load_training_data(DataArguments(str(tmp_path / "a.txt"), labels=["a", "b"]))


@pytest.mark.shared
def test_real_pairs_have_three_classes(shared_data: Path) -> None:
    columns = "{sentence1: premise, sentence2: hypothesis, label: label}"
    loaded = load_training_data(DataArguments(str(shared_data / "nli/pairs.tsv.gz"), columns=columns))
    assert len(loaded) == 97_560
    labels = loaded.with_format("numpy")[:]["label"]
    assert [int((labels == k).sum()) for k in range(3)] == [32_444, 32_275, 32_841]
