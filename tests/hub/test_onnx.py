"""Sentence encoders as ONNX graphs, in onnxruntime beside torch."""

import os
import re
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_checkpoint
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.hub import onnx
from hf_contrastive.hub.files import model_files
from hf_contrastive.models import SentenceEncoder

# Other lengths and numbers of sentences than the export has seen.
TEXTS = ["two dogs", "the happy child sits on a small red bike in the quiet city , and nobody sings !", "a cat", "."]
BACKBONES = [
    ("bert", "cls", "kept"),
    ("distilbert", "avg_first_last", "none"),
    ("roberta", "avg", "none"),
    ("modernbert", "avg_top2", "none"),
    pytest.param("llama", "last", "none", marks=pytest.mark.slow),
]


def folder_of(place: Path, kind: str, pooler: str, head: str = "none") -> Path:
    torch.manual_seed(0)
    encoder = SentenceEncoder.from_pretrained(
        str(save_tiny_checkpoint(place / "checkpoint", kind)), pooler=pooler, head=head
    )
    encoder.project(torch.randn(12, 32), torch.randn(12))
    encoder.normalize = True
    encoder.save_pretrained(place / "final")
    return place / "final"


@pytest.mark.parametrize(("kind", "pooler", "head"), BACKBONES)
def test_the_graph_gives_the_vectors_of_torch_at_other_sizes(
    tmp_path: Path, kind: str, pooler: str, head: str
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = folder_of(tmp_path, kind, pooler, head)
    done = CliRunner().invoke(app, ["onnx", str(folder)], env={"COLUMNS": "300"})
    assert done.exit_code == 0 and "differs from torch by" in done.stdout, done.output
    encoder = SentenceEncoder.from_pretrained(str(folder))
    session = onnxruntime.InferenceSession(folder / onnx.FILE, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["input_ids", "attention_mask"]
    batch = encoder.tokenizer(TEXTS, padding=True, return_tensors="np")
    given = {name: batch[name] for name in ("input_ids", "attention_mask")}
    tokens, vectors = session.run(["last_hidden_state", "sentence_embedding"], given)
    torch.testing.assert_close(torch.from_numpy(vectors), encoder.encode(TEXTS), atol=1e-4, rtol=0)
    assert tokens.shape == (*batch["input_ids"].shape, 32)
    content = (folder / onnx.FILE).read_bytes()
    assert (
        b"site-packages" not in content
        and b"hf_contrastive/" not in content
        and str(Path.cwd()).encode() not in content
    )
    assert onnx.FILE in model_files(folder).published and not list(folder.rglob("*.partial"))


def test_a_graph_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = folder_of(tmp_path, "bert", "avg")
    monkeypatch.setattr(onnx, "_export", lambda encoder, path: path.write_bytes(b""))
    monkeypatch.setattr(onnx, "_strip", lambda path: None)
    monkeypatch.setattr(onnx, "_difference", lambda encoder, path: float("nan"))
    with pytest.raises(CheckpointError, match="differs from torch by nan, more than 1e-04; publish without it"):
        onnx.export_onnx(folder)
    assert not list((folder / "onnx").iterdir())


def test_what_cannot_be_exported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else object())
        with pytest.raises(RecipeError, match=re.escape("needs onnxruntime: pip install 'hf-contrastive[onnx]'")):
            onnx.export_onnx(tmp_path)
        patch.setattr("importlib.util.find_spec", lambda name: object())
        with pytest.raises(CheckpointError, match="no config.json"):
            onnx.export_onnx(tmp_path)
        monkeypatch.setattr(onnx, "_LARGEST", 1000)
        with pytest.raises(CheckpointError, match="GB of weights; one ONNX file holds less than 2 GB"):
            onnx.export_onnx(folder_of(tmp_path, "bert", "avg"))


@pytest.mark.shared
@pytest.mark.slow
def test_the_graph_of_a_real_checkpoint_gives_the_vectors_of_torch(tmp_path: Path, shared_data: Path) -> None:
    checkpoint = os.environ.get("HF_CONTRASTIVE_CHECKPOINT")
    if not checkpoint:
        pytest.skip("HF_CONTRASTIVE_CHECKPOINT is not set: no real checkpoint")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler="avg_first_last")
    encoder.normalize = True
    encoder.save_pretrained(tmp_path)
    assert onnx.export_onnx(tmp_path) < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / onnx.FILE, providers=["CPUExecutionProvider"])
    lines = (shared_data / "sts/STSB-dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = sorted((line.split("\t")[2] for line in lines), key=len)[:: len(lines) // 40]
    assert len(texts) >= 40 and len(texts[-1]) > 5 * len(texts[0])
    batch = encoder.tokenizer(texts, padding=True, return_tensors="np")
    given = {name: batch[name] for name in ("input_ids", "attention_mask")}
    (vectors,) = session.run(["sentence_embedding"], given)
    torch.testing.assert_close(torch.from_numpy(vectors), encoder.encode(texts), atol=1e-4, rtol=0)
