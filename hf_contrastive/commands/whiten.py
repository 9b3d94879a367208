"""`hf-contrastive whiten MODEL DATA`."""

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hf_contrastive.errors import ContrastiveError


def whiten(
    model: Annotated[str, typer.Argument(help="Checkpoint folder or Hub name of the encoder.")],
    data: Annotated[str, typer.Argument(help="File, glob or Hub name of sentences, pairs or triplets.")],
    output: Annotated[Path, typer.Option(help="Folder for the model with its whitening.")],
    dimension: Annotated[int | None, typer.Option(help="Keep the widest directions; default: all there are.")] = None,
    normalize: Annotated[
        bool | None, typer.Option("--normalize/--no-normalize", help="Unit vectors; default: as the model has it.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="Column of sentences; may be given again. Recognised.")
    ] = None,
    data_name: Annotated[str | None, typer.Option(help="Configuration of a Hub dataset.")] = None,
    split: Annotated[str, typer.Option(help="Split of a Hub dataset.")] = "train",
    max_rows: Annotated[int | None, typer.Option(help="Only the first rows of DATA.")] = None,
    pooler: Annotated[str | None, typer.Option(help="Default: what the model's own files say, else avg.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens a sentence; default: the model's own.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences at a time.")] = 64,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; default: the first accelerator.")] = None,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit on the Hub.")] = "main",
) -> None:
    """Give a model a last layer after which its vectors have mean 0 and covariance identity."""
    from hf_contrastive.whiten import whiten as run

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("hf_contrastive").setLevel(logging.INFO)
    try:
        fitted = run(
            model,
            data,
            output,
            dimension=dimension,
            normalize=normalize,
            columns=columns or (),
            data_name=data_name,
            split=split,
            max_rows=max_rows,
            pooler=pooler,
            max_length=max_length,
            batch_size=batch_size,
            device=device,
            revision=revision,
        )
    except ContrastiveError as error:
        raise SystemExit(f"error: {error}") from error
    size, width = fitted.weight.shape
    Console().print(
        f"{output}: {size} of {width} dimensions, {100 * fitted.kept:.2f}% of the variance; "
        "SentenceEncoder and SentenceTransformer load it",
        highlight=False,
        soft_wrap=True,
    )
