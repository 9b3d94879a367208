"""`hf-contrastive whiten MODEL DATA`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hf_contrastive.commands.shared import (
    DataName,
    Device,
    MaxLength,
    MaxRows,
    Pooler,
    Revision,
    Split,
    errors_as_messages,
    log_messages,
)


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
    data_name: DataName = None,
    split: Split = "train",
    max_rows: MaxRows = None,
    pooler: Pooler = None,
    max_length: MaxLength = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences at a time.")] = 64,
    device: Device = None,
    revision: Revision = "main",
) -> None:
    """Give a model a last layer after which its vectors have mean 0 and covariance identity."""
    from hf_contrastive.whiten import whiten as run

    log_messages()
    with errors_as_messages():
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
    size, width = fitted.weight.shape
    Console().print(
        f"{output}: {size} of {width} dimensions, {100 * fitted.kept:.2f}% of the variance; "
        "SentenceEncoder and SentenceTransformer load it",
        highlight=False,
        soft_wrap=True,
    )
