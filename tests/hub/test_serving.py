"""What text-embeddings-inference reads of a published folder; its own rules, in Python."""

import json
from pathlib import Path

import pytest
import torch
from helpers import save_tiny_checkpoint
from test_card import made_up

from hf_contrastive.arguments import POOLERS
from hf_contrastive.hub import write_card
from hf_contrastive.models import SentenceEncoder


def served_pooling(folder: Path) -> str:
    """As its router chooses: four keys are wanted, the first token is the default of a BERT without the file."""
    path = folder / "1_Pooling/config.json"
    if not path.is_file():
        return "cls"
    config = json.loads(path.read_text(encoding="utf-8"))
    wanted = [f"pooling_mode_{key}" for key in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")]
    assert all(isinstance(config[key], bool) for key in wanted)
    modes = {"cls": wanted[0], "mean": wanted[1], "lasttoken": "pooling_mode_lasttoken"}
    (mode,) = [mode for mode, key in modes.items() if config.get(key, False)]
    return mode


@pytest.mark.parametrize("pooler", POOLERS)
def test_a_pooler_is_served_or_the_card_says_that_it_is_not(tmp_path: Path, pooler: str) -> None:
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "checkpoint")), pooler=pooler)
    encoder.save_pretrained(tmp_path / "final")
    card = write_card(tmp_path / "final", made_up({"pooler": pooler})).read_text(encoding="utf-8")
    served = {"cls": "cls", "cls_before_pooler": "cls", "avg": "mean", "last": "lasttoken"}.get(pooler)
    assert served == served_pooling(tmp_path / "final") or "text-embeddings-inference cannot serve it" in card
    assert ("text-embeddings-inference" in card) == (served is None)


@pytest.mark.parametrize(
    ("head", "whitened", "said"),
    [
        ("kept", False, "serves it from release 1.8 on"),
        ("none", True, "serves it from release 1.8 on"),
        ("kept", True, "releases that apply all Dense modules"),
        ("train_only", False, None),
    ],
)
def test_dense_modules_are_said_to_need_a_release_that_applies_them(
    tmp_path: Path, head: str, whitened: bool, said: str | None
) -> None:
    checkpoint = str(save_tiny_checkpoint(tmp_path / "checkpoint"))
    encoder = SentenceEncoder.from_pretrained(checkpoint, pooler="cls", head=head)
    if whitened:
        encoder.project(torch.eye(8, 32), torch.zeros(8))
    encoder.save_pretrained(tmp_path / "final")
    card = write_card(tmp_path / "final", made_up({"pooler": "cls", "head": head})).read_text(encoding="utf-8")
    assert said in card if said else "text-embeddings-inference" not in card


def test_configurations_of_pooling_have_only_keys_that_old_releases_know(tmp_path: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "checkpoint")), pooler="avg")
    encoder.save_pretrained(tmp_path / "final")
    config = json.loads((tmp_path / "final/1_Pooling/config.json").read_text(encoding="utf-8"))
    of_2_2 = {"cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"}
    assert config.keys() - {"word_embedding_dimension", "pooling_mode"} == {f"pooling_mode_{key}" for key in of_2_2}
