"""Penalties on the rows of a batch, so that entities are held down as often as they occur."""

from collections.abc import Callable, Sequence

from torch import Tensor


def l2(rows: Sequence[Tensor], is_complex: bool = False) -> Tensor:
    """Mean over the batch of the sum of squares.

    Args:
        rows: [B, D] each, what a batch has looked up; see `GraphScores.rows`.
        is_complex: makes no difference: the squares are those of the moduli.
    """
    return sum((row.square().sum() for row in rows), rows[0].new_zeros(())) / len(rows[0])


def n3(rows: Sequence[Tensor], is_complex: bool = False) -> Tensor:
    """Mean over the batch of the sum of cubed moduli: the nuclear 3-norm (Lacroix et al., 2018).

    As in the authors' code, whose published weights it takes, there is no factor of 1/3.

    Args:
        rows: [B, D] each.
        is_complex: whether the second half of each row is imaginary parts.
    """
    squares = [row.square() for row in rows]
    if is_complex:
        squares = [real + imaginary for real, imaginary in (square.chunk(2, -1) for square in squares)]
    return sum((square.pow(1.5).sum() for square in squares), rows[0].new_zeros(())) / len(rows[0])


REGULARIZERS: dict[str, Callable[[Sequence[Tensor], bool], Tensor]] = {"l2": l2, "n3": n3}
