"""`hf-contrastive encode` and `hf-contrastive search`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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

if TYPE_CHECKING:
    from hf_contrastive.retrieval.search import Searcher

Columns = Annotated[
    list[str] | None, typer.Option("--column", help="Column of the text; given twice: joined. Default: recognised.")
]
Ids = Annotated[str | None, typer.Option(help="Column of ids; default: rows by number, from 0.")]
BatchTokens = Annotated[
    int | None, typer.Option(help="Tokens at a time, padding included; default: 1024 on CPU, else 32768.")
]


def encode(
    data: Annotated[str, typer.Argument(help="File, glob or Hub name.")],
    model: Annotated[str, typer.Argument(help="Checkpoint folder or Hub name of the encoder.")],
    output: Annotated[Path, typer.Option(help=".parquet or .npy file, or a folder for vectors.parquet.")],
    column: Columns = None,
    id_column: Ids = None,
    data_name: DataName = None,
    split: Split = "train",
    max_rows: MaxRows = None,
    text: Annotated[bool | None, typer.Option(help="Keep the texts beside the vectors; default in Parquet.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float16 of the vectors.")] = "float32",
    normalize: Annotated[bool | None, typer.Option(help="Unit vectors; default: what the model says.")] = None,
    pooler: Pooler = None,
    max_length: MaxLength = None,
    batch_tokens: BatchTokens = None,
    bf16: Bf16 = False,
    device: Device = None,
    revision: Revision = "main",
    shard_size: Annotated[int, typer.Option(help="Texts a file of the work folder.")] = 8192,
) -> None:
    """Encode texts into a file of vectors, from wherever it stopped last."""
    from hf_contrastive.retrieval.encode import encode as run
    from hf_contrastive.retrieval.settings import EncodeSettings

    log_messages()
    with errors_as_messages():
        run(
            EncodeSettings(
                data,
                model,
                output,
                columns=tuple(column or ()),
                id_column=id_column,
                data_name=data_name,
                split=split,
                max_rows=max_rows,
                text=text,
                dtype=dtype,
                normalize=normalize,
                pooler=pooler,
                max_length=max_length,
                batch_tokens=batch_tokens,
                bf16=bf16,
                device=device,
                revision=revision,
                shard_size=shard_size,
            )
        )


def search(
    corpus: Annotated[str, typer.Argument(help="What `encode` wrote, or texts: file, glob, Hub name.")],
    model: Annotated[str | None, typer.Option(help="Default: the one that encoded CORPUS.")] = None,
    queries: Annotated[str | None, typer.Option(help="Texts, or what `encode` wrote; default: asked for.")] = None,
    output: Annotated[Path | None, typer.Option(help=".tsv, .jsonl or .parquet file of the results.")] = None,
    k: Annotated[int, typer.Option("--k", help="Results a query.")] = 10,
    index: Annotated[str, typer.Option(help="flat (exact), ivf (inverted lists), hnsw (graph), or auto.")] = "auto",
    nprobe: Annotated[int | None, typer.Option(help="Lists that ivf looks into; default: 32.")] = None,
    ef_search: Annotated[int | None, typer.Option(help="Candidates hnsw keeps open; default: 128.")] = None,
    column: Columns = None,
    id_column: Ids = None,
    query_column: Annotated[
        list[str] | None, typer.Option("--query-column", help="Column of the queries; default: recognised.")
    ] = None,
    query_id_column: Annotated[str | None, typer.Option(help="Column of the queries' ids.")] = None,
    pooler: Pooler = None,
    max_length: MaxLength = None,
    batch_tokens: BatchTokens = None,
    bf16: Bf16 = False,
    device: Device = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of the model on the Hub; default: that of CORPUS.")
    ] = None,
) -> None:
    """Find the nearest texts: of queries in a file, or asked one by one."""
    from hf_contrastive.retrieval.results import write_results
    from hf_contrastive.retrieval.search import Searcher
    from hf_contrastive.retrieval.settings import SearchSettings

    log_messages()
    with errors_as_messages():
        searcher = Searcher(
            SearchSettings(
                corpus,
                model=model,
                queries=queries,
                output=output,
                k=k,
                index=index,
                nprobe=nprobe,
                ef_search=ef_search,
                columns=tuple(column or ()),
                id_column=id_column,
                query_columns=tuple(query_column or ()),
                query_id_column=query_id_column,
                pooler=pooler,
                max_length=max_length,
                batch_tokens=batch_tokens,
                bf16=bf16,
                device=device,
                revision=revision,
            )
        )
        if searcher.queries is not None and output is not None:
            write_results(searcher, searcher.queries, output)
        else:
            _ask(searcher)


def _ask(searcher: "Searcher") -> None:
    """Queries from the keyboard until an empty line or the end of the input."""
    console = Console()
    console.print(f"{searcher.corpus.count:,} texts; an empty line ends", highlight=False)
    while True:
        try:
            query = console.input("[bold]query[/bold]> ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if not query:
            return
        texts = searcher.corpus.texts
        table = Table("rank", "score", "id" if searcher.corpus.ids else "row", *([] if texts is None else ["text"]))
        for rank, (row, score) in enumerate(searcher.ask(query), start=1):
            shown = [] if texts is None else [escape(texts[row])]
            table.add_row(str(rank), f"{score:.4f}", escape(str(searcher.corpus.id_of(row))), *shown)
        console.print(table)
