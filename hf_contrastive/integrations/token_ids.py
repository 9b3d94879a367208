"""Texts that are known by their token ids only: told apart, and brought into the form a bank keeps."""

from torch import Tensor

# Constants of splitmix64 (Steele, Lea and Flood, 2014), as signed numbers.
_STEP, _FIRST, _SECOND = (c - (1 << 64) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def token_keys(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """A signed 64-bit key [n] of each row's tokens, wherever the row is padded and however wide it is.

    Zobrist's hash: the sum of a fixed random number for each (place, token). Texts with equal tokens have equal keys,
    which is to say texts that are the same to the model: equal ones, and those that differ only in what the tokeniser
    drops or behind where it truncates. Others agree with a chance of 2^-64 a pair.

    Args:
        input_ids: [n, l].
        attention_mask: [n, l], 0 where a token only pads.
    """
    mask = (attention_mask != 0).long()
    place = mask.cumsum(1)
    return (_mixed((place << 32) + input_ids.long()) * mask).sum(1)


def left_aligned(input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same rows [n, l] with their tokens first and their padding last, whichever side it was on."""
    mask = (attention_mask != 0).long()
    order = mask.argsort(dim=1, descending=True, stable=True)
    return input_ids.gather(1, order), mask.gather(1, order)


def _mixed(numbers: Tensor) -> Tensor:
    """splitmix64's output function, a bijection of 64-bit numbers; int64 products wrap around."""
    numbers = numbers * _STEP
    numbers = (numbers ^ _shifted(numbers, 30)) * _FIRST
    numbers = (numbers ^ _shifted(numbers, 27)) * _SECOND
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    """Shifted to the right as if unsigned."""
    return (numbers >> bits) & ((1 << (64 - bits)) - 1)
