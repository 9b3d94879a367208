"""A Hub of one's own, for this process too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_double import Hub
from huggingface_hub import constants


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
