"""Candidate tables of random unit vectors, samplers that say what they are told, and an encoder to look through."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hf_contrastive.negatives import Candidates, Context, Negatives, NegativeSampler


def unit(*shape: int, seed: int = 0) -> Tensor:
    """Unit vectors, float32."""
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def bank_context(batch: int = 4, bank: int = 10, width: int = 8, seed: int = 0, **replaced: Any) -> Context:
    """Rows 0..batch-1 are the positives, then comes the bank. Anchor i has key i, its positive 100 + i, row j of the
    bank 200 + j; `replaced` are fields to set otherwise."""
    rows = unit(batch + bank, width, seed=seed)
    fields: dict[str, Any] = {
        "anchors": unit(batch, width, seed=seed + 1),
        "candidates": Candidates(rows[:batch], rows[batch:]),
        "positive_ids": torch.arange(batch),
        "regions": {"positives": range(batch), "bank": range(batch, batch + bank)},
        "owners": torch.tensor([*range(batch), *[-1] * bank]),
        "valid": torch.ones(batch + bank, dtype=torch.bool),
        "anchor_keys": torch.arange(batch),
        "candidate_keys": torch.cat([torch.arange(100, 100 + batch), torch.arange(200, 200 + bank)]),
        "candidate_anchor_keys": torch.cat([torch.arange(batch), torch.full((bank,), 1000)]),
        "generator": torch.Generator().manual_seed(seed),
    }
    return Context(**fields | replaced)


def vocabulary_context(counts: Tensor, positives: Tensor, start: int = 0, **replaced: Any) -> Context:
    """Words with counts: the whole table, from row `start` on, is the bank, and positives are rows of it."""
    size = len(counts)
    table = unit(size, 4)
    fields: dict[str, Any] = {
        "anchors": unit(len(positives), 4, seed=1),
        "candidates": Candidates(table),
        "positive_ids": positives,
        "regions": {"bank": range(start, size)},
        "owners": torch.full((size,), -1),
        "valid": torch.ones(size, dtype=torch.bool),
        "counts": counts,
        "generator": torch.Generator().manual_seed(0),
    }
    return Context(**fields | replaced)


class Told(NegativeSampler):
    """Proposes the ids it was made with, weighs them as told, and counts how often it was asked."""

    needs = frozenset({"bank"})

    def __init__(self, ids: Tensor, mask: Tensor, weights: Tensor | None = None, **fields: Any) -> None:
        super().__init__()
        self.ids, self.mask, self.weights, self.fields = ids, mask, weights, fields
        self.gives_log_q = "log_q" in fields
        self.asked = 0

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        self.asked += 1
        return Negatives(self.ids, self.mask.clone(), **self.fields)

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        return self.weights


def told(
    width: int, *, batch: int = 3, shared: bool = True, seed: int = 0, weights: bool = False, **fields: Any
) -> Told:
    """A sampler of fixed rows of a table of 13, a fifth of them masked."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(13, (width,) if shared else (batch, width), generator=generator)
    mask = torch.rand(batch, width, generator=generator) > 0.2
    return Told(ids, mask, torch.rand(batch, width, generator=generator) + 0.5 if weights else None, **fields)


class NeverAsk(NegativeSampler):
    """Raises when it is asked."""

    needs = frozenset({"bank"})

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        raise AssertionError("a part without a share was asked")


class BagOfWords(nn.Module):
    """An encoder: the mean of word vectors, of length 1."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(unit(words, width, seed=5), freeze=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, lengths: list[int]) -> Tensor:
        assert attention_mask.sum(1).tolist() == lengths
        mask = attention_mask.unsqueeze(-1)
        return normalize((self.words(input_ids) * mask).sum(1) / mask.sum(1), dim=-1)
