"""Batches of equal length: every sentence once, within the budget, padded where the tokeniser pads."""

import random

import numpy as np
import pytest
import torch
from helpers import tiny_bert, tiny_tokenizer
from runs import sentence

from hf_contrastive.models import SentenceEncoder, token_batches

RNG = random.Random(0)
SENTENCES = [*(sentence(RNG) for _ in range(90)), "", "dog", " ".join(["cat"] * 60)]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("batch_size", "batch_tokens"), [(7, None), (7, 40), (7, 3)])
def test_every_sentence_is_in_one_batch_with_its_own_tokens(
    side: str, batch_size: int, batch_tokens: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_batches, "BLOCK", 50)
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = side
    own = tokenizer(SENTENCES, truncation=True, max_length=20)["input_ids"]
    seen: list[int] = []
    widths = []
    for places, tokens, mask in token_batches.token_batches(SENTENCES, tokenizer, 20, batch_size, batch_tokens):
        seen += places.tolist()
        widths.append(tokens.shape[1])
        assert tokens.shape == mask.shape == (len(places), max(len(own[place]) for place in places))
        if batch_tokens is None:
            assert len(places) <= batch_size
        else:
            assert tokens.numel() <= batch_tokens or len(places) == 1
        for place, row, kept in zip(places, tokens, mask, strict=True):
            assert row[kept.bool()].tolist() == own[place]
            assert (row[~kept.bool()] == tokenizer.pad_token_id).all()
            pads = tokens.shape[1] - len(own[place])
            assert not pads or not kept[-1 if side == "right" else 0]
    assert sorted(seen) == list(range(len(SENTENCES)))
    assert set(seen[:50]) == set(range(50))  # block by block
    assert max(widths) == widths[0] == 20 or widths[0] == max(len(ids) for ids in own[:50])
    assert sum(1 for a, b in zip(widths, widths[1:], strict=False) if b > a) == 1  # longest first, in both blocks


def test_a_budget_of_tokens_is_filled() -> None:
    batches = list(token_batches.token_batches(SENTENCES, tiny_tokenizer(), 64, 64, 100))
    full = [tokens.numel() for _, tokens, _ in batches[:-1]]
    assert all(100 - tokens.shape[1] < count <= 100 for count, (_, tokens, _) in zip(full, batches, strict=False))


@pytest.mark.parametrize("options", [{"batch_size": 5}, {"batch_tokens": 64}, {"batch_tokens": 1}])
def test_vectors_are_those_of_one_sentence_at_a_time_in_the_order_given(options: dict) -> None:
    torch.manual_seed(0)
    encoder = SentenceEncoder(tiny_bert(), tiny_tokenizer(), max_length=20).eval()
    expected = torch.cat([encoder.encode([text]) for text in SENTENCES])
    with torch.no_grad():
        tokens = encoder.tokenizer(SENTENCES[3], return_tensors="pt")
        np.testing.assert_allclose(expected[3], encoder(tokens["input_ids"], tokens["attention_mask"])[0], atol=1e-6)
    torch.testing.assert_close(encoder.encode(SENTENCES, **options), expected, atol=1e-5, rtol=0)
