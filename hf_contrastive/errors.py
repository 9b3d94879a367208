"""What the user did that cannot work, said before any training time is spent."""

import difflib
from collections.abc import Iterable


class ContrastiveError(ValueError):
    """Base of the errors that the user can mend; the command line prints them without a traceback."""


class DataError(ContrastiveError):
    """A data file or dataset cannot be used; the message names file, row, column and remedy."""


class RecipeError(ContrastiveError):
    """A recipe or an override cannot be used; the message names file, line, key and remedy."""


class CheckpointError(ContrastiveError):
    """A checkpoint or model folder does not fit what was asked of it."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `word`; `None` where none is like it."""
    return next(iter(difflib.get_close_matches(str(word), list(known), n=1)), None)


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """What ends a message about an unknown name: "; did you mean 'NEAREST'?".

    Args:
        otherwise: said where no known name is near; default: all known names to choose from.
    """
    known = list(known)
    near = nearest(word, known)
    if near is not None:
        return f"; did you mean {near!r}?"
    if otherwise is None:
        otherwise = f"choose from {', '.join(known) or 'none'}"
    return f"; {otherwise}" if otherwise else ""
