"""A Hub of one's own, for this process too, and a model with a card to publish."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_checkpoint
from hub_double import Hub
from huggingface_hub import constants
from test_card import made_up

from hf_contrastive.hub import write_card
from hf_contrastive.models import SentenceEncoder


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as double:
        yield double


@pytest.fixture
def here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """This process uses the double, logged in, and waits for no second try."""
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    return hub


@pytest.fixture
def final(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "checkpoint")), pooler="avg")
    encoder.save_pretrained(tmp_path / "run/final")
    results = made_up({})
    del results["after"]["sts"]
    write_card(tmp_path / "run/final", results)
    return tmp_path / "run/final"
