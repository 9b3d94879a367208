"""The command line: `hf-contrastive train | evaluate | encode | search | mine | look | publish | words | ...`."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hf_contrastive.commands.graphs import graph_app, hypernymy_app
from hf_contrastive.commands.hub import card, onnx, publish
from hf_contrastive.commands.look import look
from hf_contrastive.commands.retrieval import encode, search
from hf_contrastive.commands.shared import (
    Bf16,
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
from hf_contrastive.commands.whiten import whiten
from hf_contrastive.commands.words import app as words_app

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Contrastive learning on the Hub."
)
app.add_typer(words_app, name="words")
app.add_typer(graph_app, name="graph")
app.add_typer(hypernymy_app, name="hypernymy")
app.command()(card)
app.command()(onnx)
app.command()(publish)
app.command()(whiten)
app.command()(look)
app.command()(encode)
app.command()(search)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="YAML recipe; any of its keys can follow as --key value.")],
    accelerate_config: Annotated[
        Path | None, typer.Option(help="Start with `accelerate launch --config_file FILE`.")
    ] = None,
) -> None:
    """Train what a recipe says, from wherever it stopped last."""
    if accelerate_config is not None:
        launch = ["-m", "accelerate.commands.launch", "--config_file", str(accelerate_config)]
        command = [sys.executable, *launch, "-m", "hf_contrastive.train", str(recipe), *context.args]
        raise typer.Exit(subprocess.call(command))
    from hf_contrastive.train import main

    main([str(recipe), *context.args])


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Checkpoint folder or Hub name, ours or not.")],
    pooler: Pooler = None,
    tasks: Annotated[
        list[str] | None, typer.Option("--task", help="sts, transfer, retrieval; repeatable. Default: sts.")
    ] = None,
    mteb: Annotated[
        list[str] | None, typer.Option(help="Task of the mteb package, by its name; repeatable, in place of --task.")
    ] = None,
    sts_data: Annotated[str | None, typer.Option(help="Folder of STS files; default: HF_CONTRASTIVE_DATA.")] = None,
    transfer_data: Annotated[str | None, typer.Option(help="Folder in SentEval's layout.")] = None,
    retrieval_data: Annotated[str | None, typer.Option(help="Folder in BEIR's layout, or a folder of those.")] = None,
    retrieval_index: Annotated[str, typer.Option(help="exact, or FAISS's flat, ivf, hnsw.")] = "exact",
    output: Annotated[Path | None, typer.Option(help="JSON file for the table.")] = None,
    max_length: MaxLength = None,
    batch_size: Annotated[int, typer.Option(help="Sentences at a time.")] = 64,
    bf16: Bf16 = False,
    device: Device = None,
    revision: Revision = "main",
) -> None:
    """Print and save the STS, transfer, retrieval or MTEB table of any checkpoint."""
    from hf_contrastive.training.measure import evaluate_model

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    with errors_as_messages():
        evaluate_model(
            model,
            pooler=pooler,
            tasks=tasks if tasks is not None else [] if mteb else ["sts"],
            mteb=mteb or [],
            sts_data=sts_data,
            transfer_data=transfer_data,
            retrieval_data=retrieval_data,
            retrieval_index=retrieval_index,
            output=output,
            max_length=max_length,
            batch_size=batch_size,
            bf16=bf16,
            device=device,
            revision=revision,
        )


@app.command()
def mine(
    data: Annotated[str, typer.Argument(help="File, glob or Hub name: plain sentences, or pairs.")],
    model: Annotated[str, typer.Argument(help="Checkpoint folder or Hub name of the encoder.")],
    output: Annotated[Path, typer.Option(help=".parquet or .jsonl file, or a folder for mined.parquet.")],
    anchor: Annotated[str | None, typer.Option(help="Column of the anchors; default: recognised.")] = None,
    positive: Annotated[str | None, typer.Option(help="Column of the positives; default: recognised.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Where candidates come from; default: DATA's positives.")] = None,
    corpus_column: Annotated[str | None, typer.Option(help="Column of the corpus; default: recognised.")] = None,
    data_name: DataName = None,
    split: Split = "train",
    max_rows: MaxRows = None,
    k: Annotated[int, typer.Option("--k", help="Negatives a row.")] = 5,
    range_min: Annotated[int, typer.Option("--range-min", "--skip-first", help="Nearest candidates passed over.")] = 0,
    range_max: Annotated[int | None, typer.Option(help="Ranks from here on are not looked at.")] = None,
    margin: Annotated[float | None, typer.Option(help="Score at most the positive's minus this.")] = None,
    max_percent: Annotated[float | None, typer.Option(help="Score at most this share of the positive's.")] = None,
    max_score: Annotated[float | None, typer.Option(help="Score at most this.")] = None,
    pooler: Pooler = None,
    max_length: MaxLength = None,
    batch_size: Annotated[int, typer.Option(help="Sentences at a time.")] = 64,
    bf16: Bf16 = False,
    device: Device = None,
    revision: Revision = "main",
    index: Annotated[str, typer.Option(help="flat (exact), ivf (inverted lists), or auto.")] = "auto",
    nprobe: Annotated[int, typer.Option(help="Lists that ivf looks into.")] = 32,
    shard_size: Annotated[int, typer.Option(help="Sentences a file of the work folder.")] = 8192,
) -> None:
    """Mine hard negatives over a whole corpus, from wherever it stopped last."""
    from hf_contrastive.mining import MiningSettings, Rules
    from hf_contrastive.mining import mine as run

    log_messages()
    with errors_as_messages():
        run(
            MiningSettings(
                data,
                model,
                output,
                Rules(k, range_min, range_max, margin, max_percent, max_score),
                anchor=anchor,
                positive=positive,
                corpus=corpus,
                corpus_column=corpus_column,
                data_name=data_name,
                split=split,
                max_rows=max_rows,
                pooler=pooler,
                max_length=max_length,
                batch_size=batch_size,
                bf16=bf16,
                device=device,
                revision=revision,
                index=index,
                nprobe=nprobe,
                shard_size=shard_size,
            )
        )


@app.command()
def samplers() -> None:
    """List the sources of negatives, with those other installed packages add."""
    from hf_contrastive.negatives import registered

    table = Table("name", "what it proposes")
    for name, sampler in registered().items():
        table.add_row(name, (sampler.__doc__ or "").strip().splitlines()[0])
    Console().print(table)


@app.command()
def augmentations() -> None:
    """List the ways to make a positive of a sentence, with those other installed packages add."""
    from hf_contrastive.augmentations import registered_augmentations

    table = Table("name", "what it does")
    for name, kind in registered_augmentations().items():
        table.add_row(name, (kind.__doc__ or "").strip().splitlines()[0])
    Console().print(table)


@app.command()
def keys(
    contains: Annotated[str, typer.Argument(help="Only keys with this text in name or help.")] = "",
    task: Annotated[str, typer.Option(help="sentences, words, graph or hypernymy.")] = "sentences",
) -> None:
    """List every key a recipe can have, with its default."""
    from hf_contrastive.recipe import recipe_keys

    table = Table("key", "default", "meaning", show_lines=False)
    for key, (default, meaning) in recipe_keys(task).items():
        if contains.lower() in f"{key} {meaning}".lower():
            table.add_row(key, default, meaning)
    Console().print(table)


if __name__ == "__main__":
    app()
