"""The ring of sentences against a Python deque."""

from collections import deque

import pytest
import torch
from contexts import unit

from hf_contrastive.training.bank import SentenceBank

SIZE, LENGTH, WIDTH, PAD = 7, 5, 3, 9


def make_bank() -> SentenceBank:
    return SentenceBank(SIZE, LENGTH, WIDTH, PAD)


def sentences(count: int, start: int) -> dict[str, torch.Tensor]:
    """What `write` takes; sentence s has s % 5 + 1 tokens, s + 10, s + 11, ..."""
    numbers = torch.arange(start, start + count)
    lengths = numbers % LENGTH + 1
    tokens = numbers.unsqueeze(1) + 10 + torch.arange(LENGTH)
    return {
        "tokens": torch.where(torch.arange(LENGTH) < lengths.unsqueeze(1), tokens, PAD).int(),
        "lengths": lengths,
        "vectors": unit(count, WIDTH, seed=start),
        "keys": numbers - 3,
        "anchor_keys": -numbers,
    }


@pytest.mark.parametrize("writes", [[3], [3, 3], [3, 3, 3, 2], [7, 1], [6, 6, 6], [10], [2, 17, 3], [0, 4]], ids=str)
def test_the_oldest_are_overwritten(writes: list[int]) -> None:
    bank, expected, start = make_bank(), deque(maxlen=SIZE), 0
    for count in writes:
        batch = sentences(count, start)
        bank.write(**batch)
        expected.extend(zip(*batch.values(), strict=True))
        start += count
    assert len(bank) == SIZE and bank.written.sum() == len(expected)
    # From the cursor on, the rows that were written, oldest first.
    order = [row % SIZE for row in range(int(bank.cursor), int(bank.cursor) + SIZE)]
    rows = [row for row in order if bank.written[row]]
    for row, (tokens, length, vector, key, anchor_key) in zip(rows, expected, strict=True):
        assert torch.equal(bank.tokens[row], tokens) and bank.lengths[row] == length
        assert torch.equal(bank.vectors[row], vector.half())
        assert bank.keys[row] == key and bank.anchor_keys[row] == anchor_key
    empty = [row for row in order if not bank.written[row]]
    assert (bank.tokens[empty] == PAD).all() and (bank.vectors[empty] == 0).all()


@pytest.mark.parametrize("width", [2, LENGTH, LENGTH + 3])
def test_token_ids_in_the_width_of_the_bank(width: int) -> None:
    """A batch may be wider, by columns that only pad, where a collator pads to a multiple."""
    ids = torch.full((2, width), PAD)
    ids[:, : min(width, LENGTH)] = torch.arange(min(width, LENGTH))
    found = make_bank().padded(ids)
    assert found.dtype == torch.int32
    assert found.tolist() == [[column if column < width else PAD for column in range(LENGTH)]] * 2


def test_sentences_come_back_as_they_were() -> None:
    bank, batch = make_bank(), sentences(6, 0)
    bank.write(**batch)
    rows = torch.tensor([3, 1, 3, 0])
    ids, mask, lengths = bank.sentences(rows)
    assert lengths == [4, 2, 4, 1]
    assert ids.tolist() == [[13, 14, 15, 16], [11, 12, PAD, PAD], [13, 14, 15, 16], [10, PAD, PAD, PAD]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert ids.dtype == mask.dtype == torch.long
    never_written = bank.sentences(torch.tensor([6]))
    assert never_written[0].tolist() == [[PAD]] and never_written[2] == [1]


def test_refresh_replaces_vectors_alone() -> None:
    bank, untouched = make_bank(), make_bank()
    for b in (bank, untouched):
        b.write(**sentences(6, 0))
    newer = unit(2, WIDTH, seed=99).requires_grad_()
    bank.refresh(torch.tensor([4, 1]), newer)
    assert torch.equal(bank.vectors[[4, 1]], newer.half()) and not bank.vectors.requires_grad
    for name, value in untouched.state_dict().items():
        if name == "vectors":
            value = value.index_copy(0, torch.tensor([4, 1]), newer.detach().half())
        assert torch.equal(bank.state_dict()[name], value), name


def test_a_bank_goes_on_where_its_state_was_taken() -> None:
    bank, other = make_bank(), make_bank()
    bank.write(**sentences(5, 0))
    other.load_state_dict(bank.state_dict())
    for b in (bank, other):
        b.write(**sentences(4, 5))
    for name, value in bank.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert not list(bank.parameters())
