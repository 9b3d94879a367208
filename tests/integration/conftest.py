"""Models of sentence-transformers, which is imported only where a test asks for one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import save_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    """One tiny checkpoint with dropout and one without."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints")
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return {0.1: save_tiny_checkpoint(folder / "on"), 0.0: save_tiny_checkpoint(folder / "off", **off)}


@pytest.fixture
def make_model(checkpoints: dict[float, Path]) -> Callable[..., Any]:
    """A mean-pooled model with the given dropout; every call gives the same weights."""
    from sentence_transformers import SentenceTransformer

    return lambda dropout=0.0: SentenceTransformer(str(checkpoints[dropout]), device="cpu")
