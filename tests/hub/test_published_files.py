"""Which files are published, replaced and removed, what they hold, and what is there after a kill."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import torch
from graph_runs import make_graph_run, make_order_run
from helpers import save_tiny_checkpoint
from hub_double import Hub
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from runs import make_run, run_recipe
from test_adapter import adapted
from test_card import made_up
from test_publish import LOAD, MODEL, assert_loads, load_alone
from word_runs import make_word_run

from hf_contrastive.errors import CheckpointError
from hf_contrastive.hub import publish, write_card
from hf_contrastive.models import SentenceEncoder

MAKE = {"sentences": make_run, "words": make_word_run, "graph": make_graph_run, "hypernymy": make_order_run}
FILES = {
    "sentences": [*MODEL, "alignment_uniformity.png"],
    "words": "config.json config_sentence_transformers.json model.safetensors modules.json vocab.tsv vocab_total.json "
    "0_StaticEmbedding/model.safetensors 0_StaticEmbedding/tokenizer.json".split(),
    "graph": ["config.json", "entities.txt", "model.safetensors", "relations.txt"],
    "hypernymy": ["concepts.txt", "config.json", "model.safetensors"],
}


@pytest.mark.parametrize("task", MAKE)
def test_a_run_of_every_task_publishes_exactly_its_model_and_nothing_of_its_user(
    here: Hub, tmp_path: Path, task: str
) -> None:
    run = MAKE[task](tmp_path / "alice-at-home", max_steps=2)
    run_recipe(run)
    publish(run / "out/final", f"tester/{task}")
    files = here.files(f"tester/{task}")
    pictures = {name for name in files if name.endswith(".png")}
    assert sorted(files) == sorted({*FILES[task], "README.md", *pictures})
    for name, content in files.items():
        assert b"alice-at-home" not in content and str(tmp_path).encode() not in content, name


def test_every_part_that_a_sentence_encoder_can_have_is_published(here: Hub, tmp_path: Path) -> None:
    checkpoint = str(save_tiny_checkpoint(tmp_path / "checkpoint"))
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler="avg_first_last", head="kept")
    encoder.project(torch.eye(8, 32), torch.zeros(8))
    encoder.normalize = True
    encoder.save_pretrained(tmp_path / "final")
    (tmp_path / "final/onnx").mkdir()
    (tmp_path / "final/onnx/model.onnx").write_bytes(b"graph")
    write_card(tmp_path / "final", made_up({"pooler": "avg_first_last", "head": "kept"}))
    publish(tmp_path / "final", "tester/mine")
    parts = [name for name in MODEL if not name.startswith("1_")]
    parts += [
        "1_WeightedLayerPooling/config.json",
        "1_WeightedLayerPooling/model.safetensors",
        "2_Pooling/config.json",
    ]
    parts += [f"{place}_Dense/{name}" for place in (3, 4) for name in ("config.json", "model.safetensors")]
    assert sorted(here.files("tester/mine")) == sorted([*parts, "onnx/model.onnx", ".eval_results/test.yaml"])


def test_files_that_the_tokenizer_names_and_pictures_that_the_card_shows_go_along(here: Hub, final: Path) -> None:
    config = json.loads((final / "tokenizer_config.json").read_text())
    (final / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "PhobertTokenizer"}))
    mine = ["bpe.codes", "images/map.png", "images/by hand.webp", "linked.svg"]
    for name in [*mine, "emoji.json", "other.png", "images/notes.txt"]:
        (final / name).parent.mkdir(exist_ok=True)
        (final / name).write_text("/home/somebody" if name == "bpe.codes" else "x")
    shown = [
        '![map](./images/map.png "a map")',
        '<img src="images/by%20hand.webp">',
        "[l](linked.svg)",
        "[n](images/notes.txt)",
    ]
    with (final / "README.md").open("a", encoding="utf-8") as card:
        card.write("\n\n".join(["", *shown, ""]))
    publish(final, "tester/mine")
    ours = {name for name in here.files("tester/mine") if name == "training_curve.png"}
    assert sorted(here.files("tester/mine")) == sorted([*MODEL, *mine, *ours])
    (final / "bpe.codes").unlink()
    (final / "linked.svg").write_text("<desc>/home/somebody/x</desc>")
    with pytest.raises(CheckpointError, match="linked.svg: holds the path /home/somebody"):
        publish(final, "tester/mine")
    (final / "linked.svg").write_text("x")
    assert publish(final, "tester/mine").removed == ("bpe.codes",)
    (final / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="tokenizer_config.json: not a JSON object"):
        publish(final, "tester/mine")


def test_what_others_added_stays_and_what_would_not_fit_the_weights_goes(here: Hub, final: Path) -> None:
    publish(final, "tester/mine")
    repo = here.repos["tester/mine"]
    theirs = [
        ".eval_results/theirs.yaml",
        "chat_template.jinja",
        "training_curve.png",
        "onnx/model_O4.onnx",
        "LICENSE",
    ]
    stale = ["2_Dense/config.json", "2_Dense/model.safetensors", "model-00001-of-00002.safetensors", "onnx/model.onnx"]
    stale += ["model.safetensors.index.json", "vocab.txt", "adapter_config.json", "concepts.txt"]
    there = {name: name.encode() for name in (*theirs, *stale)}
    repo.commit("main", "by hand", {**here.files("tester/mine"), **there}, repo.at("main").lfs)
    (final / "training_curve.png").unlink(missing_ok=True)
    card = (final / "README.md").read_text(encoding="utf-8")
    (final / "README.md").write_text(re.sub(r"!\[.*\)\n", "", card), encoding="utf-8")
    assert publish(final, "tester/mine").removed == tuple(sorted(stale))
    files = here.files("tester/mine")
    assert sorted(files) == sorted([*MODEL, *theirs])
    assert all(files[name] == name.encode() for name in theirs)


def test_a_private_model_is_not_there_for_who_has_no_token(here: Hub, final: Path) -> None:
    publish(final, "tester/mine", private=True)
    with pytest.raises(RepositoryNotFoundError):
        HfApi(here.url, token=False).model_info("tester/mine")
    address = f"{here.url}/tester/mine/resolve/main/config.json"
    with pytest.raises(HTTPError, match="404"):
        urlopen(address)
    with urlopen(Request(address, headers={"Authorization": f"Bearer {here.token}"})) as answer:
        assert answer.read() == (final / "config.json").read_bytes()


@pytest.mark.slow
def test_a_merged_model_loads_by_its_name(here: Hub, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    adapted(tmp_path)
    shutil.rmtree(tmp_path / "adapter")
    publish(tmp_path / "final", "tester/merged")
    assert not [name for name in here.files("tester/merged") if "adapter" in name]
    found = load_alone(LOAD, here.environment, tmp_path / "home", "tester/merged", "main")
    assert_loads(found, tmp_path / "final")


@pytest.mark.slow
@pytest.mark.parametrize("part", ["/_lfs/", "/commit/"])
def test_a_killed_publication_leaves_no_part_of_a_model_and_goes_on_when_repeated(
    here: Hub, final: Path, part: str
) -> None:
    publishing: list[subprocess.Popen[bytes]] = []

    def kill(_: str, path: str) -> bool:
        if part in path:
            publishing[0].send_signal(signal.SIGKILL)
        return part in path

    here.drop = kill
    command = [sys.executable, "-m", "hf_contrastive.cli", "publish", str(final), "tester/mine"]
    with here.lock:  # no answer before the process is known
        publishing.append(subprocess.Popen(command, env={**os.environ, **here.environment}))
    assert publishing[0].wait(timeout=120) == -signal.SIGKILL
    assert here.files("tester/mine") == {} and len(here.repos["tester/mine"].commits) == 1
    here.drop = lambda method, path: False
    sent = len(here.sent("PUT"))
    publish(final, "tester/mine")
    assert set(MODEL) <= set(here.files("tester/mine")) and len(here.repos["tester/mine"].commits) == 2
    weights = [path for path in here.sent("PUT")[sent:] if "/_lfs/" in path]
    assert weights if part == "/_lfs/" else not weights
