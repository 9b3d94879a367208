"""What is said where the Hub does not give a dataset."""

from collections.abc import Iterator
from contextlib import contextmanager

from datasets.exceptions import DatasetsError

from hf_contrastive.errors import DataError


@contextmanager
def asking_the_hub(missing: str, correct: str) -> Iterator[None]:
    """Asks the Hub for a dataset inside of it.

    Args:
        missing: what the name was not, and whose it is: "train_data: 'x' is no local file".
        correct: what the user may have got wrong.

    Raises:
        DataError: the Hub does not give it, or one from inside.
    """
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise DataError(
            f"{missing}, and the Hub did not give a dataset of this name "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0]}); correct {correct}, "
            "or check the connection and HF_TOKEN"
        ) from error
