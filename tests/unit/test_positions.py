"""How long a text may be, against what the models themselves take."""

import sys
from types import SimpleNamespace

import pytest
import torch
from helpers import tiny_bert, tiny_roberta, tiny_t5

from hf_contrastive.positions import positions_of

ENDLESS = SimpleNamespace(model_max_length=int(1e30))  # a tokeniser that names no length


@pytest.mark.parametrize(("make", "fewer"), [(tiny_bert, 0), (tiny_roberta, 2)])
def test_the_longest_text_passes_and_one_token_more_does_not(make, fewer: int) -> None:
    model = make(max_position_embeddings=20, pad_token_id=fewer - 1 if fewer else 0).eval()
    longest = positions_of(model, ENDLESS)
    assert longest == 20 - fewer
    model(input_ids=torch.full((1, longest), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, longest + 1), 5))


def test_the_tokeniser_may_name_less() -> None:
    assert positions_of(tiny_bert(), SimpleNamespace(model_max_length=7)) == 7


def test_models_without_positions_have_no_end() -> None:
    assert positions_of(tiny_t5(), ENDLESS) == sys.maxsize
