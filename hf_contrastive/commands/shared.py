"""What commands share: options of an encoder, messages, and errors without a traceback."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from hf_contrastive.errors import ContrastiveError

Pooler = Annotated[str | None, typer.Option(help="Default: what the model's own files say, else avg.")]
MaxLength = Annotated[int | None, typer.Option(help="Tokens a text; default: the model's own.")]
Bf16 = Annotated[bool, typer.Option(help="Encode under bfloat16 autocast.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: the first accelerator.")]
Revision = Annotated[str, typer.Option(help="Branch, tag or commit of the model on the Hub.")]
DataName = Annotated[str | None, typer.Option(help="Configuration of a Hub dataset.")]
Split = Annotated[str, typer.Option(help="Split of a Hub dataset.")]
MaxRows = Annotated[int | None, typer.Option(help="Only the first rows of DATA.")]


def log_messages() -> None:
    """Show what the main process logs, and nothing of the others."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    is_main = os.environ.get("RANK", "0") == "0"
    logging.getLogger("hf_contrastive").setLevel(logging.INFO if is_main else logging.ERROR)


@contextmanager
def errors_as_messages(*others: type[Exception]) -> Iterator[None]:
    """End with `error: ...` where a `ContrastiveError`, or one of `others`, is met."""
    expected: tuple[type[Exception], ...] = (ContrastiveError, *others)
    try:
        yield
    except expected as error:
        raise SystemExit(f"error: {error}") from error
