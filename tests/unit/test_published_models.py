"""Models that sentence-transformers saved, by its releases before and after 6: vectors are those it gives itself."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import WORDS, save_tiny_checkpoint, tiny_t5, tiny_tokenizer

from hf_contrastive.errors import CheckpointError
from hf_contrastive.models import SentenceEncoder, backbone
from hf_contrastive.positions import default_length

LONG = " ".join(WORDS[row % len(WORDS)] for row in range(200))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """300 positions, and a tokeniser that names no length and keeps capitals, which it does not know."""
    torch.manual_seed(0)
    folder = save_tiny_checkpoint(tmp_path / "checkpoint", max_position_embeddings=300)
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = int(1e30)
    tokenizer.backend_tokenizer.normalizer = None
    tokenizer.save_pretrained(folder)
    return folder


def test_texts_are_cut_where_sentence_transformers_cuts_them(checkpoint: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(checkpoint))
    model = SentenceTransformer(modules=[transformer, Pooling(32, "mean")], device="cpu")
    model.save(str(tmp_path / "saved"))
    assert "max_seq_length" not in json.loads((tmp_path / "saved/sentence_bert_config.json").read_text())
    encoder = SentenceEncoder.from_pretrained(str(tmp_path / "saved"))
    assert encoder.max_length == 300
    texts = [LONG, " ".join([LONG, LONG])]
    torch.testing.assert_close(encoder.encode(texts), torch.tensor(model.encode(texts)), rtol=0, atol=1e-5)
    assert SentenceEncoder.from_pretrained(str(checkpoint)).max_length == 128


def test_no_text_is_endless() -> None:
    assert default_length(tiny_t5(), SimpleNamespace(model_max_length=int(1e30)), is_bare=False) == 8192


def test_text_is_lower_cased_where_the_folder_says_so(checkpoint: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceEncoder.from_pretrained(str(checkpoint), max_length=64).save_pretrained(tmp_path / "old")
    settings = {"max_seq_length": 64, "do_lower_case": True}
    (tmp_path / "old/sentence_bert_config.json").write_text(json.dumps(settings))
    texts = ["A Dog RUNS", "The Man plays the guitar ."]
    encoder = SentenceEncoder.from_pretrained(str(tmp_path / "old"))
    theirs = torch.tensor(SentenceTransformer(str(tmp_path / "old"), device="cpu").encode(texts))
    torch.testing.assert_close(encoder.encode(texts), theirs, rtol=0, atol=1e-5)
    assert torch.equal(encoder.encode(texts), encoder.encode([text.lower() for text in texts]))
    encoder.save_pretrained(tmp_path / "again")
    again = SentenceEncoder.from_pretrained(str(tmp_path / "again"))
    assert torch.equal(again.encode(texts), encoder.encode(texts))


def test_a_tokeniser_that_cannot_lower_case_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    in_python = SimpleNamespace(pad_token_id=0)
    monkeypatch.setattr(backbone.AutoTokenizer, "from_pretrained", lambda *_, **__: in_python)
    with pytest.raises(CheckpointError, match="do_lower_case"):
        backbone.load_tokenizer("a model", lower_case=True)
