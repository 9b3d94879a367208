"""What ends the messages about unknown names, and what a process that trains begins with."""

import pytest
import torch

from hf_contrastive.errors import did_you_mean, nearest
from hf_contrastive.train import main

KNOWN = ("unigram", "uniform", "queue")


@pytest.mark.parametrize(
    ("word", "known", "otherwise", "said"),
    [
        ("unigrams", KNOWN, None, "; did you mean 'unigram'?"),
        ("unigrams", KNOWN, "look them up", "; did you mean 'unigram'?"),
        ("xyz", KNOWN, None, "; choose from unigram, uniform, queue"),
        ("xyz", KNOWN, "look them up", "; look them up"),
        ("xyz", KNOWN, "", ""),
        ("xyz", (), None, "; choose from none"),
        (12, ("1", "123"), None, "; did you mean '123'?"),  # what YAML reads of a key
    ],
)
def test_the_nearest_name_or_what_is_said_otherwise(word: str, known: tuple, otherwise: str, said: str) -> None:
    assert did_you_mean(word, iter(known), otherwise) == said


def test_nothing_is_near() -> None:
    assert nearest("xyz", KNOWN) is None


def test_a_process_that_trains_has_no_denormal_numbers() -> None:
    """They slow Adam's step of a table whose rows are seldom looked up, on Intel's processors by a multiple."""
    torch.set_flush_denormal(False)
    tiny = torch.full((1,), 1e-40)
    assert (tiny * 1 != 0).all()
    try:
        with pytest.raises(SystemExit, match="recipe"):
            main(["no-such-recipe.yaml"])
        assert (tiny * 1 == 0).all()
    finally:
        torch.set_flush_denormal(False)
