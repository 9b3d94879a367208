"""Adapters of LoRA: kept beside the merged model, loaded by others, published alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import save_tiny_checkpoint
from hub_double import Hub
from huggingface_hub import HfApi
from runs import make_run, run_recipe
from test_card import TEXTS, blocks, execute, front_matter, made_up
from test_publish import command, load_alone

from hf_contrastive.errors import CheckpointError
from hf_contrastive.hub import publish, write_card
from hf_contrastive.models import SentenceEncoder

pytest.importorskip("peft")

ADAPTER = [
    "1_Pooling/config.json",
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def adapted(place: Path, kind: str = "bert", pooler: str = "avg", head: str = "none") -> SentenceEncoder:
    """`place` gets checkpoint/, the merged model in final/ and its adapters, which change vectors, in adapter/."""
    torch.manual_seed(0)
    checkpoint = str(save_tiny_checkpoint(place / "checkpoint", kind))
    lora = {"r": 2, "target_modules": ["q_lin", "v_lin"] if kind == "distilbert" else None}  # peft knows none for it
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler=pooler, head=head, lora=lora).eval()
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    encoder.save_pretrained(place / "final")
    encoder.save_adapter(place / "adapter")
    return encoder


@pytest.mark.parametrize(
    ("kind", "pooler", "head"),
    [
        ("bert", "cls", "kept"),
        ("distilbert", "avg_first_last", "none"),
        ("t5", "avg", "none"),
        ("llama", "last", "none"),
    ],
)
def test_every_way_to_load_adapters_gives_the_vectors_of_the_merged_model(
    tmp_path: Path, kind: str, pooler: str, head: str
) -> None:
    encoder = adapted(tmp_path, kind, pooler, head)
    merged = SentenceEncoder.from_pretrained(str(tmp_path / "final")).encode(TEXTS)
    bare = SentenceEncoder.from_pretrained(str(tmp_path / "checkpoint"), pooler=pooler)
    assert not torch.allclose(merged, bare.encode(TEXTS), atol=1e-2)
    folder = tmp_path / "adapter"
    recipe = {"pooler": pooler, "head": head, "lora_r": "2", "card_base_model": "some/base"}
    card = write_card(folder, made_up(recipe)).read_text(encoding="utf-8")
    meta = front_matter(folder / "README.md")
    assert (meta["library_name"], meta["base_model"], meta["base_model_relation"]) == ("peft", "some/base", "adapter")
    assert "lora" in meta["tags"] and "hu-2022-lora" in card
    codes = blocks(card, "python")
    assert len(codes) == 2 and "PeftModel" in codes[0] and "SentenceTransformer" in codes[1]
    for code in codes:
        found = execute(code.replace('"some/base"', f'"{tmp_path / "checkpoint"}"'), folder)["vectors"]
        torch.testing.assert_close(torch.as_tensor(found), merged, atol=1e-5, rtol=1e-4)
    again = SentenceEncoder.from_pretrained(str(folder))
    torch.testing.assert_close(again.encode(TEXTS), merged, atol=1e-5, rtol=1e-4)
    assert not [name for name, _ in again.named_parameters() if "lora" in name]
    torch.testing.assert_close(encoder.encode(TEXTS), merged, atol=1e-5, rtol=1e-4)
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 60_000


LOAD = """
import json, re, sys
from transformers.utils import cached_file
card = open(cached_file(sys.argv[1], "README.md"), encoding="utf-8").read()
found = []
for code in re.findall(r"```python\\n(.*?)\\n```", card, re.DOTALL):
    names = {}
    exec(code.replace("print(", "str("), names)
    found.append(names["vectors"].tolist())
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_run_with_lora_publishes_its_adapters_alone(here: Hub, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", lora_r=4, learning_rate=1e-2, card_base_model="tester/base")
    HfApi(here.url, here.token).create_repo("tester/base")
    HfApi(here.url, here.token).upload_folder(repo_id="tester/base", folder_path=run / "checkpoint")
    run_recipe(run)
    folder = run / "out/adapter"
    given = json.loads((folder / "adapter_config.json").read_text())
    assert given["base_model_name_or_path"] == str(run / "checkpoint")
    command(folder, "tester/adapter")
    pictures = {path.name for path in folder.glob("*.png")}
    files = here.files("tester/adapter")
    assert sorted(files) == sorted([*ADAPTER, *pictures])
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "tester/base"
    assert not [name for name, content in files.items() if str(tmp_path).encode() in content]
    merged = SentenceEncoder.from_pretrained(str(run / "out/final")).encode(TEXTS)
    found = load_alone(LOAD, here.environment, tmp_path / "home", "tester/adapter")
    assert len(found) == 2
    for vectors in found:
        torch.testing.assert_close(torch.tensor(vectors), merged, atol=1e-5, rtol=1e-4)


def with_base(folder: Path, base: str | None) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": base}))


def test_adapters_whose_base_model_nobody_can_load_are_refused(here: Hub, tmp_path: Path) -> None:
    adapted(tmp_path)
    folder = tmp_path / "adapter"
    wanted = re.escape("start the run again with --card_base_model owner/name (it trains nothing anew)")
    for results in (None, made_up({"model_name_or_path": str(tmp_path / "checkpoint")})):
        if results is not None:
            card = write_card(folder, results).read_text(encoding="utf-8")
            assert str(tmp_path) not in card and 'from_pretrained("path/to/the/base/model")' in card
        with pytest.raises(CheckpointError, match=wanted):
            publish(folder, "tester/mine", dry_run=True)
    with_base(folder, "some/base")
    files = publish(folder, "tester/mine", dry_run=True).files
    assert json.loads(files.content("adapter_config.json", "tester/mine"))["base_model_name_or_path"] == "some/base"
    assert not here.log


def test_adapters_that_cannot_be_saved_or_loaded_are_refused(tmp_path: Path) -> None:
    adapted(tmp_path)
    bare = SentenceEncoder.from_pretrained(str(tmp_path / "checkpoint"))
    with pytest.raises(CheckpointError, match="the model has no adapters; train with lora_r"):
        bare.save_adapter(tmp_path / "none")
    with_base(tmp_path / "adapter", str(save_tiny_checkpoint(tmp_path / "other", "distilbert")))
    with pytest.raises(CheckpointError, match="its adapters do not fit .*other"):
        SentenceEncoder.from_pretrained(str(tmp_path / "adapter"))
    with_base(tmp_path / "adapter", str(tmp_path / "gone"))
    with pytest.raises(CheckpointError, match="gone: no checkpoint that Transformers can load"):
        SentenceEncoder.from_pretrained(str(tmp_path / "adapter"))


def test_a_pinned_base_model_is_named_with_its_revision(tmp_path: Path) -> None:
    adapted(tmp_path)
    path = tmp_path / "adapter/adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "revision": "v1"}))
    results: dict[str, Any] = made_up({"card_base_model": "some/base"})
    (code,) = blocks(write_card(tmp_path / "adapter", results).read_text(encoding="utf-8"), "python")
    assert 'AutoModel.from_pretrained("some/base", revision="v1")' in code


def test_gathered_weights_are_saved_in_place_of_the_encoders_own(tmp_path: Path) -> None:
    encoder = adapted(tmp_path)
    state = {name: value * (0 if "lora_B" in name else 1) for name, value in encoder.state_dict().items()}
    encoder.save_adapter(tmp_path / "gathered", state_dict=state)
    bare = SentenceEncoder.from_pretrained(str(tmp_path / "checkpoint"), pooler="avg")
    found = SentenceEncoder.from_pretrained(str(tmp_path / "gathered")).encode(TEXTS)
    torch.testing.assert_close(found, bare.encode(TEXTS), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(encoder.encode(TEXTS), found, atol=1e-2)
