"""What the Hub or its client refuses, and folders that are not published, said in plain words."""

import json
import re
from pathlib import Path

import pytest
from hub_double import Account, Hub
from test_publish import command

from hf_contrastive.errors import CheckpointError
from hf_contrastive.hub import PublishError, publish

WRONG = "hf_" + "w" * 34


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        ("", "tester/mine", "no token for the Hub: log in with `hf auth login`, or set HF_TOKEN"),
        (WRONG, "tester/mine", "tester/mine: the Hub does not know the token; log in"),
        ("hf_reader", "tester/mine", "the token of tester may only read"),
        ("hf_other", "tester/mine", "other has no right to write there; publish under other"),
        ("hf_powerless", "lab/mine", "lab/mine: the token has no right to write there"),
        (None, "not/a/name", "'not/a/name' is no name on the Hub; write owner/name"),
    ],
)
def test_what_the_hub_refuses_is_said_in_plain_words_and_changes_nothing(
    here: Hub, final: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, repo_id: str, message: str
) -> None:
    here.accounts |= {
        "hf_reader": Account("tester", role="read"),
        "hf_other": Account("other"),
        "hf_powerless": Account("tester", role="fineGrained", orgs=("lab",), may_write=False),
    }
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    said = command(final, repo_id)
    assert message in said and "Traceback" not in said and said.count("error: ") == 1
    assert not here.repos and (not token or token not in said)


def test_a_missing_right_to_an_existing_repository_and_a_public_one_are_refused(
    here: Hub, final: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(final, "tester/mine")
    before = here.files("tester/mine")
    assert "there and public; make it private in its settings" in command(final, "tester/mine", "--private")
    here.accounts["hf_powerless"] = Account("tester", role="fineGrained", may_write=False)
    monkeypatch.setenv("HF_TOKEN", "hf_powerless")
    (final / "config.json").write_text("{}")
    assert "the token has no right to write there" in command(final, "tester/mine")
    assert here.files("tester/mine") == before


def test_without_a_network_that_is_said(here: Hub, final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here.__exit__()
    said = command(final, "tester/mine")
    assert "the Hub cannot be reached" in said and "look after the network" in said and here.token not in said


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (RuntimeError(f"Data processing error: {WRONG}"), r"publishing failed \(RuntimeError: Data .* \*\*\*\); give"),
        (json.JSONDecodeError("Expecting value", "<html>", 0), "publishing failed .*Expecting value.*; give the same"),
        (ValueError(f"LFS batch API returned errors:\n{WRONG}"), r"refused \(.*errors: \*\*\*\); mend what it names"),
        (KeyError("commitOid"), "publishing failed .KeyError: 'commitOid'"),
    ],
)
def test_whatever_the_client_raises_is_said_without_a_token(
    here: Hub, final: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, message: str
) -> None:
    def create_commit(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", create_commit)
    with pytest.raises(PublishError, match=f"^tester/mine: {message}") as refusal:
        publish(final, "tester/mine")
    assert WRONG not in str(refusal.value) and "\n" not in str(refusal.value)


def test_front_matter_that_the_hub_refuses_is_said_in_its_words(here: Hub, final: Path) -> None:
    here.yaml_errors = ['"license" must be one of [apache-2.0, mit]']
    said = command(final, "tester/mine")
    assert 'error: tester/mine: refused (ValueError: Invalid metadata in README.md. - "license" must be one' in said
    assert here.files("tester/mine") == {}


def test_folders_that_are_no_finished_model_are_refused(here: Hub, final: Path, tmp_path: Path) -> None:
    run = final.parent
    for folder, message in (
        (tmp_path / "nowhere", "no such folder"),
        (run, "no model.safetensors in it; did you mean its folder final/?"),
        (tmp_path, "no model.safetensors in it; name a finished model"),
    ):
        with pytest.raises(CheckpointError, match=re.escape(message)):
            publish(folder, "tester/mine")
    (final / "config.json").write_text(json.dumps({"_name_or_path": str(run.resolve())}))
    with pytest.raises(CheckpointError, match="config.json: holds the path"):
        publish(final, "tester/mine")
    (final / "config.json").write_text(json.dumps({"token": WRONG}))
    with pytest.raises(CheckpointError, match=r"config.json: holds what looks like a Hub token") as refusal:
        publish(final, "tester/mine")
    assert WRONG not in str(refusal.value)
    (final / "config.json").write_text("{}")
    (final / "README.md").write_text("no front matter")
    with pytest.raises(CheckpointError, match="no front matter"):
        publish(final, "tester/mine")
    (final / "trainer_state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="makes it a checkpoint of training"):
        publish(final, "tester/mine")
    assert not here.log
