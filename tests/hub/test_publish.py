"""`hf-contrastive publish` against a double of the Hub, with the unmodified client."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import save_tiny_checkpoint
from hub_double import Hub, Repo
from runs import make_run, run_recipe
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.errors import RecipeError
from hf_contrastive.hub import PublishError, publish
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import main

MODEL = [
    "1_Pooling/config.json",
    "README.md",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def command(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["publish", *map(str, arguments)], env={"COLUMNS": "300"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.stdout


LOAD = """
import json, sys
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer, pipeline
from hf_contrastive import SentenceEncoder

repo, revision, texts = sys.argv[1], sys.argv[2], ["a man plays the guitar", "two dogs run outside in the city"]
tokenizer = AutoTokenizer.from_pretrained(repo, revision=revision)
model = AutoModel.from_pretrained(repo, revision=revision)
batch = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
with torch.no_grad():
    tokens = model.eval()(**batch).last_hidden_state
mask = batch["attention_mask"][:, :, None]
piped = pipeline("feature-extraction", model=repo, revision=revision)(texts)
print(json.dumps({
    "auto": ((tokens * mask).sum(1) / mask.sum(1)).tolist(),
    "pipeline": [torch.tensor(one[0]).mean(0).tolist() for one in piped],
    "st": SentenceTransformer(repo, revision=revision, device="cpu").encode(texts).tolist(),
    "ours": SentenceEncoder.from_pretrained(repo, revision=revision).encode(texts).tolist(),
}))
"""


def load_elsewhere(environment: dict[str, str], cache: Path, repo: str, revision: str = "main") -> dict[str, Any]:
    return load_alone(LOAD, environment, cache, repo, revision)


def load_alone(code: str, environment: dict[str, str], cache: Path, *arguments: str) -> Any:
    """What `code`, run in a process of its own with an empty cache, prints as JSON in its last line."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(cache), **environment}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_loads(found: dict[str, Any], folder: Path) -> None:
    texts = ["a man plays the guitar", "two dogs run outside in the city"]
    wanted = SentenceEncoder.from_pretrained(str(folder)).encode(texts)
    assert found.keys() == {"auto", "pipeline", "st", "ours"}
    for vectors in found.values():
        torch.testing.assert_close(torch.tensor(vectors), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_what_is_published_loads_by_its_name_and_then_without_a_network(
    here: Hub, final: Path, tmp_path: Path
) -> None:
    said = command(final, "tester/mine", "--private", "--revision", "v2")
    commit = here.repos["tester/mine"].refs["v2"]
    assert f"{len(MODEL)} files" in said and f"{here.url}/tester/mine/tree/v2, commit {commit}" in said
    assert here.files("tester/mine") == {} and here.repos["tester/mine"].private
    assert_loads(load_elsewhere(here.environment, tmp_path / "home", "tester/mine", "v2"), final)
    here.server.shutdown()
    offline = {**here.environment, "HF_HUB_OFFLINE": "1", "HF_TOKEN": ""}
    assert_loads(load_elsewhere(offline, tmp_path / "home", "tester/mine", "v2"), final)


def test_exactly_the_files_of_the_model_are_published(here: Hub, final: Path, tmp_path: Path) -> None:
    state = ["optimizer.pt", "rng_state.pth", "scheduler.pt", "generator.safetensors", "notes.txt", ".env", "a/x.bin"]
    for name in [*state, "README.md.partial", "1_Pooling/pickle.pkl"]:
        (final / name).parent.mkdir(exist_ok=True)
        (final / name).write_bytes(b"x")
    (final / "vocab.txt").symlink_to(tmp_path / "checkpoint/config.json")
    said = command(final, "mine")
    pictures = {"training_curve.png"} & {path.name for path in final.iterdir()}
    files = here.files("tester/mine")
    assert sorted(files) == sorted([*MODEL, *pictures])
    assert all(f"left out: {name}" in said for name in [*state, "vocab.txt"])
    for name, content in files.items():
        if name != "README.md":
            assert content == (final / name).read_bytes()
        assert here.token.encode() not in content and str(tmp_path).encode() not in content
    assert here.token not in said
    card = files["README.md"].decode()
    assert 'SentenceTransformer("tester/mine")' in card and "path/to/this/folder" not in card


def test_a_rehearsal_lists_the_same_files_and_asks_the_hub_nothing(here: Hub, final: Path) -> None:
    (final / "optimizer.pt").write_bytes(b"x")
    rehearsed = command(final, "tester/mine", "--dry-run")
    assert not here.log and "nothing was sent" in rehearsed
    published = command(final, "tester/mine")
    assert rehearsed.splitlines()[:-1] == published.splitlines()[:-1]


def test_published_again_it_is_one_commit_and_what_is_gone_is_removed(here: Hub, final: Path) -> None:
    first = publish(final, "tester/mine")
    again = publish(final, "tester/mine")
    repo = here.repos["tester/mine"]
    assert again.commit == first.commit and len(repo.commits) == 2  # the Hub's initial one, and ours
    repo.commit("main", "by hand", {**here.files("tester/mine"), "my notes.md": b"kept"}, repo.at("main").lfs)
    (final / "tokenizer_config.json").unlink()
    weights = (final / "model.safetensors").read_bytes()
    sent = len(here.sent("PUT"))
    third = publish(final, "tester/mine")
    assert third.removed == ("tokenizer_config.json",) and len(here.sent("PUT")) == sent  # weights are there
    files = here.files("tester/mine")
    assert "tokenizer_config.json" not in files and files["my notes.md"] == b"kept"
    assert files["model.safetensors"] == weights


@pytest.mark.parametrize("part", ["/_lfs/", "/commit/"])
def test_a_dropped_connection_leaves_what_was_there_and_a_repetition_goes_on(
    here: Hub, final: Path, part: str
) -> None:
    publish(final, "tester/mine")
    before, weights = here.files("tester/mine"), (final / "model.safetensors").read_bytes()
    (final / "model.safetensors").write_bytes(weights + b" ")
    here.drop = lambda method, path: part in path
    with pytest.raises(PublishError, match="tester/mine: the Hub cannot be reached .* give the same command again"):
        publish(final, "tester/mine")
    assert here.files("tester/mine") == before
    here.drop = lambda method, path: False
    sent = len(here.sent("PUT"))
    publish(final, "tester/mine")
    assert here.files("tester/mine")["model.safetensors"] == weights + b" "
    assert len(here.sent("PUT")) - sent == (1 if part == "/_lfs/" else 0)


def test_a_change_by_somebody_else_meanwhile_is_not_overwritten(here: Hub, final: Path) -> None:
    publish(final, "tester/mine")
    (final / "config.json").write_text((final / "config.json").read_text() + "\n")

    def intrude(repo: Repo) -> None:
        repo.commit("main", "theirs", {"config.json": b"{}"}, set())

    here.before_commit = intrude
    with pytest.raises(PublishError, match="somebody else changed it meanwhile"):
        publish(final, "tester/mine")
    assert here.files("tester/mine")["config.json"] == b"{}"


def test_a_recipe_pushes_the_encoder_alone_once_it_is_finished(here: Hub, tmp_path: Path) -> None:
    adversary = {"name": "adversarial", "fresh": 4, "k": 4}
    options = {"push_to_hub": True, "hub_model_id": "lab/pushed", "hub_private_repo": True}
    run = make_run(
        tmp_path / "run", negatives=["in_batch", adversary], max_steps=4, eval_steps=2, save_steps=2, **options
    )
    run_recipe(run)
    repo = here.repos["lab/pushed"]
    assert repo.private and len(repo.commits) == 2
    pictures = {path.name for path in (run / "out/final").glob("*.png")}
    assert sorted(here.files("lab/pushed")) == sorted([*MODEL, *pictures])
    card = here.files("lab/pushed")["README.md"].decode()
    assert "# pushed" in card and 'SentenceTransformer("lab/pushed")' in card and str(tmp_path) not in card
    text = (run / "out/recipe.json").read_text() + (run / "out/results.json").read_text()
    assert here.token not in text


def test_a_recipe_that_cannot_push_is_refused_before_it_trains(
    here: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run", push_to_hub=True, hub_model_id="elsewhere/mine", max_steps=4)
    with pytest.raises(PublishError, match="tester has no right to write there; publish under lab, tester"):
        run_recipe(run)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PublishError, match="no token for the Hub"):
        run_recipe(run, "--hub_model_id", "tester/mine")
    monkeypatch.setenv("HF_TOKEN", here.token)
    with pytest.raises(RecipeError, match="hub_strategy: checkpoints hold training state"):
        run_recipe(run, "--hub_model_id", "tester/mine", "--hub_strategy", "all_checkpoints")
    assert not list((run / "out").glob("checkpoint-*"))


def test_a_run_whose_push_fails_at_the_end_is_finished_and_says_how_to_publish_it(here: Hub, tmp_path: Path) -> None:
    options = {"push_to_hub": True, "hub_private_repo": True, "hub_revision": "v 2"}
    run = make_run(tmp_path / "my run", max_steps=4, eval_steps=2, save_steps=2, **options)
    here.drop = lambda method, path: "/commit/" in path or "/branch/" in path
    with pytest.raises(SystemExit, match="the model is finished, and `hf-contrastive publish .*` publishes it") as end:
        main([str(run / "recipe.yaml")])
    assert (run / "out/results.json").is_file() and here.files("tester/out") == {}
    here.drop = lambda method, path: False
    again = shlex.split(re.search("`(.*)`", str(end.value))[1])
    assert again == [
        *"hf-contrastive publish".split(),
        str(run / "out/final"),
        "out",
        "--private",
        "--revision",
        "v 2",
    ]
    assert "tester/out" in command(*again[2:-1], "v2") and here.files("tester/out", "v2")
    assert load_recipe(run / "recipe.yaml").training.push_to_hub


def test_a_trainer_of_ones_own_pushes_the_encoder_alone(here: Hub, tmp_path: Path) -> None:
    from datasets import Dataset

    from hf_contrastive import ContrastiveTrainingArguments, SimCSETrainer

    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "checkpoint")))
    arguments = ContrastiveTrainingArguments(
        str(tmp_path / "out"),
        per_device_train_batch_size=4,
        max_steps=2,
        save_steps=1,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        push_to_hub=True,
        hub_token=here.token,
        hub_revision="v1",
    )
    texts = ["a man sits", "two dogs run", "a red car", "children sing music"] * 2
    trainer = SimCSETrainer(encoder, arguments, Dataset.from_dict({"text": texts}))
    trainer.train()
    assert here.files("tester/out") == {}  # checkpoints stay here
    assert trainer.push_to_hub().repo_id == "tester/out"
    assert sorted(here.files("tester/out", "v1")) == [name for name in MODEL if name != "README.md"]
    with pytest.raises(RecipeError, match="push_to_hub: takes token, revision and private"):
        trainer.push_to_hub("message")
