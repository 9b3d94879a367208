"""Poolers, heads, backbones, dropout and adapters."""

import json
from pathlib import Path

import pytest
import torch
from helpers import TINY_MODELS, save_tiny_checkpoint, tiny_bert, tiny_tokenizer
from transformers import AutoModel, AutoTokenizer, pipeline

from hf_contrastive.arguments import POOLERS
from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.hub.usage import _POOL
from hf_contrastive.models import SentenceEncoder, module_files
from hf_contrastive.models.dropout import FastDropout, random_keep_mask, use_fast_dropout
from hf_contrastive.models.lora import add_lora, is_lora
from hf_contrastive.models.pooling import pool

SENTENCES = [
    "a man plays the guitar .",
    "two dogs run",
    "the happy child sits on a small red bike in the quiet city !",
]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return save_tiny_checkpoint(tmp_path / "checkpoint")


def by_hand(outputs, mask, pooler: str) -> torch.Tensor:
    """Each pooler token by token."""
    rows = []
    for b in range(len(mask)):
        tokens = [t for t in range(mask.shape[1]) if mask[b, t]]
        layers = {
            "avg": [-1],
            "avg_top2": [-2, -1],
            "avg_first_last": [1, -1],
        }.get(pooler)
        if layers is None:
            rows.append(outputs.last_hidden_state[b, tokens[-1] if pooler == "last" else tokens[0]])
        else:
            vectors = [outputs.hidden_states[layer][b, t] for layer in layers for t in tokens]
            rows.append(sum(vectors) / len(vectors))
    return torch.stack(rows)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("pooler", POOLERS)
def test_pooler_equals_a_loop_over_tokens(pooler: str, side: str) -> None:
    torch.manual_seed(0)
    tokenizer, model = tiny_tokenizer(), tiny_bert().eval()
    tokenizer.padding_side = side
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**batch, output_hidden_states=True)
    expected = by_hand(outputs, batch["attention_mask"], pooler)
    torch.testing.assert_close(pool(outputs, batch["attention_mask"], pooler), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pooler", "head"),
    [(p, h) for p in POOLERS for h in ("none", "train_only", "kept") if h == "none" or p != "cls_before_pooler"],
)
def test_saved_folder_gives_the_same_vectors_everywhere(checkpoint, tmp_path, pooler, head) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler=pooler, head=head, max_length=16)
    folder = tmp_path / "final"
    encoder.save_pretrained(folder)
    vectors = encoder.encode(SENTENCES)
    theirs = torch.tensor(SentenceTransformer(str(folder), device="cpu").encode(SENTENCES))
    assert (vectors - theirs).abs().max() <= 1e-5
    again = SentenceEncoder.from_pretrained(folder)
    assert torch.equal(again.encode(SENTENCES), vectors)
    assert again.max_length == 16
    tokens = AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=True, return_tensors="pt")
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        bare = pool(model(**tokens, output_hidden_states=True), tokens["attention_mask"], pooler)
    if head != "kept":
        torch.testing.assert_close(bare, vectors, rtol=1e-5, atol=1e-5)
    assert len(pipeline("feature-extraction", str(folder))(SENTENCES[0])[0]) == 8  # six tokens, [CLS] and [SEP]


def test_published_folder_holds_no_pickle_and_no_code(checkpoint, tmp_path) -> None:
    SentenceEncoder.from_pretrained(checkpoint, pooler="avg_first_last", head="kept").save_pretrained(
        tmp_path / "final"
    )
    assert {p.suffix for p in (tmp_path / "final").rglob("*") if p.is_file()} <= {".json", ".safetensors", ".txt"}
    types = [m["type"] for m in json.loads((tmp_path / "final" / "modules.json").read_text())]
    assert all(t.startswith("sentence_transformers.") for t in types)
    assert [t.rsplit(".", 1)[1] for t in types] == ["Transformer", "WeightedLayerPooling", "Pooling", "Dense"]


def test_every_pooler_can_be_saved_and_has_its_line_in_cards() -> None:
    assert set(_POOL) | {"cls_before_pooler"} == set(module_files._POOLING_MODES) == set(POOLERS)


def test_a_pooler_that_could_not_be_saved_is_refused_before_training(checkpoint, monkeypatch) -> None:
    monkeypatch.setattr("hf_contrastive.models.sentence_encoder.POOLERS", (*POOLERS, "max"))
    with pytest.raises(RecipeError, match="'max' could be trained but not saved; add the mode of sentence-tr"):
        SentenceEncoder.from_pretrained(checkpoint, pooler="max")


def test_what_an_earlier_model_left_in_the_folder_is_gone_and_nothing_else(checkpoint, tmp_path) -> None:
    folder = tmp_path / "final"
    SentenceEncoder.from_pretrained(checkpoint, pooler="avg_first_last", head="kept").save_pretrained(folder)
    (folder / "onnx").mkdir()
    for name in ("onnx/model.onnx", "onnx/mine.onnx", "1_WeightedLayerPooling/notes.txt"):
        (folder / name).write_text("x")
    SentenceEncoder.from_pretrained(checkpoint, pooler="avg", head="none").save_pretrained(folder)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*/*") if path.is_file()}
    assert left == {"1_Pooling/config.json", "onnx/mine.onnx", "1_WeightedLayerPooling/notes.txt"}


@pytest.mark.parametrize("kind", sorted(TINY_MODELS))
def test_every_backbone_encodes_and_saves(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = save_tiny_checkpoint(tmp_path / kind, kind)
    pooler = "last" if kind == "llama" else "avg_first_last"
    encoder = SentenceEncoder.from_pretrained(folder, pooler=pooler)
    vectors = encoder.encode(SENTENCES)
    assert vectors.shape == (3, 32) and vectors.dtype == torch.float32
    # What one sentence gets does not depend on what it is padded with.
    torch.testing.assert_close(encoder.encode(SENTENCES[1:2])[0], vectors[1], rtol=1e-4, atol=1e-5)
    encoder.save_pretrained(tmp_path / "final")
    from sentence_transformers import SentenceTransformer

    theirs = torch.tensor(SentenceTransformer(str(tmp_path / "final"), device="cpu").encode(SENTENCES))
    assert (vectors - theirs).abs().max() <= 1e-5


def test_train_only_head_is_used_in_training_and_dropped_at_test(checkpoint) -> None:
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler="cls", head="train_only", dropout=0.0)
    plain = SentenceEncoder.from_pretrained(checkpoint, pooler="cls_before_pooler")
    assert torch.equal(encoder.encode(SENTENCES), plain.encode(SENTENCES))
    tokens = encoder.tokenizer(SENTENCES, padding=True, return_tensors="pt")
    encoder.train()
    trained = encoder(tokens["input_ids"], tokens["attention_mask"])
    torch.testing.assert_close(trained, torch.tanh(encoder.head(plain.encode(SENTENCES))))


def test_encode_keeps_order_and_restores_the_mode(checkpoint) -> None:
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler="avg").train()
    together = encoder.encode(SENTENCES * 3, batch_size=2)
    assert encoder.training
    for row, sentence in zip(together, SENTENCES * 3, strict=True):
        torch.testing.assert_close(row, encoder.encode([sentence])[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match="takes a list"):
        encoder.encode("one string")


def test_dropout_rate_is_set_everywhere_and_checked(checkpoint, tmp_path) -> None:
    encoder = SentenceEncoder.from_pretrained(checkpoint, dropout=0.25)
    rates = {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.25}
    folder = save_tiny_checkpoint(tmp_path / "llama", "llama")
    SentenceEncoder.from_pretrained(folder, dropout=0.25)


def test_fast_dropout_drops_the_right_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    mask, scale = random_keep_mask(torch.Size([1000, 1000]), 0.1)
    assert (~mask).float().mean().item() == pytest.approx(0.1, abs=0.001)
    assert mask.float().mean().item() * scale == pytest.approx(1.0, abs=0.002)
    # Neighbours share a 64-bit draw: they must be independent all the same.
    lag = (~mask[:, 1:] & ~mask[:, :-1]).float().mean().item()
    assert lag == pytest.approx(0.01, abs=0.0005)
    assert not torch.equal(mask, random_keep_mask(mask.shape, 0.1)[0])


def test_fast_dropout_gradient_follows_its_own_mask_and_the_seed() -> None:
    layer = FastDropout(0.5)
    x = torch.ones(64, 33, requires_grad=True)
    torch.manual_seed(1)
    y = layer(x)
    y.sum().backward()
    assert torch.equal(y.detach(), x.grad)
    assert set(y.unique().tolist()) == {0.0, 2.0}
    torch.manual_seed(1)
    assert torch.equal(layer(x), y)
    assert torch.equal(layer.eval()(x), x)


def test_fast_dropout_replaces_every_dropout(checkpoint) -> None:
    model = tiny_bert()
    count = sum(type(m) is torch.nn.Dropout for m in model.modules())
    assert use_fast_dropout(model) == count > 0
    assert not any(type(m) is torch.nn.Dropout for m in model.modules())


def test_lora_trains_few_weights_and_is_merged_when_saved(checkpoint, tmp_path) -> None:
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler="avg", lora={"r": 2, "alpha": 4})
    trainable = [n for n, p in encoder.named_parameters() if p.requires_grad]
    assert trainable and all("lora_" in name for name in trainable)
    for name, p in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p)
    encoder.save_pretrained(tmp_path / "final")
    assert is_lora(encoder.backbone)
    again = SentenceEncoder.from_pretrained(tmp_path / "final")
    torch.testing.assert_close(again.encode(SENTENCES), encoder.encode(SENTENCES), rtol=1e-4, atol=1e-5)
    assert not any("lora" in name for name in again.state_dict())
    assert not torch.allclose(
        again.encode(SENTENCES), SentenceEncoder.from_pretrained(checkpoint, pooler="avg").encode(SENTENCES)
    )


def test_lora_on_modules_that_are_not_there() -> None:
    with pytest.raises(RecipeError, match="lora_target_modules: .*no_such_layer"):
        add_lora(tiny_bert(), 2, target_modules=["no_such_layer"])


def test_a_folder_that_is_no_checkpoint(tmp_path) -> None:
    with pytest.raises(
        CheckpointError, match="no checkpoint that Transformers can load; give a folder with config.json"
    ):
        SentenceEncoder.from_pretrained(str(tmp_path))


def test_a_folder_without_weights_is_refused(checkpoint) -> None:
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"{checkpoint}: there is a config.json, but no weights"):
        SentenceEncoder.from_pretrained(str(checkpoint))


def test_modules_we_cannot_stand_for_are_refused(checkpoint) -> None:
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "some_package.Magic", "path": "1"},
    ]
    (checkpoint / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="some_package.Magic is not supported"):
        SentenceEncoder.from_pretrained(checkpoint)
