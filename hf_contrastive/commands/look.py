"""`hf-contrastive look MODEL...`."""

from pathlib import Path
from typing import Annotated

import typer

from hf_contrastive.commands.shared import Bf16, Device, MaxLength, Pooler, errors_as_messages, log_messages


def look(
    models: Annotated[list[str], typer.Argument(help="Folders or Hub names of models; folders of runs.")],
    output: Annotated[Path, typer.Option(help="Folder for pictures, look.json and look.html.")] = Path("look"),
    labels: Annotated[list[str] | None, typer.Option("--label", help="Name of a model; once for each.")] = None,
    pairs: Annotated[str | None, typer.Option(help="TSV: score, sentence1, sentence2; default: STS-B dev.")] = None,
    queries: Annotated[
        list[str] | None, typer.Option("--query", help="Find the nearest sentences of it; may be given again.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Nearest sentences.")] = 5,
    map_by: Annotated[str, typer.Option("--map", help="pca or tsne.")] = "pca",
    pooler: Pooler = None,
    max_length: MaxLength = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences at a time.")] = 64,
    bf16: Bf16 = False,
    device: Device = None,
) -> None:
    """Draw what models' vectors look like: alignment and uniformity, spectra, cosines, a map, nearest sentences."""
    from hf_contrastive.look import look as run

    log_messages()
    with errors_as_messages():
        run(
            models,
            output,
            labels=labels or (),
            pairs=pairs,
            queries=queries or (),
            k=k,
            map_by=map_by,
            pooler=pooler,
            max_length=max_length,
            batch_size=batch_size,
            bf16=bf16,
            device=device,
        )
