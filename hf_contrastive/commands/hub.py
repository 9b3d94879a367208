"""`hf-contrastive card RUN`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hf_contrastive.errors import ContrastiveError


def card(
    run: Annotated[Path, typer.Argument(help="output_dir of a finished run, with results.json and final/.")],
    others: Annotated[
        list[Path] | None, typer.Option("--with", help="output_dir of the same recipe with another seed; repeatable.")
    ] = None,
) -> None:
    """Write the model card of a finished run again, with mean and deviation over seeds where there are several."""
    from hf_contrastive.hub import read_results, write_card

    try:
        path = write_card(run / "final", read_results(run), [read_results(other) for other in others or []])
    except ContrastiveError as error:
        raise SystemExit(f"error: {error}") from error
    Console().print(f"model card: {path}", highlight=False, soft_wrap=True)
