"""`hf-contrastive graph predict` and `hf-contrastive hypernymy explain`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hf_contrastive.commands.shared import errors_as_messages
from hf_contrastive.errors import DataError, did_you_mean

graph_app = typer.Typer(no_args_is_help=True, help="Ask a knowledge graph model.")
hypernymy_app = typer.Typer(no_args_is_help=True, help="Ask an order embedding.")

Folder = Annotated[Path, typer.Argument(help="Folder that training left as final/.")]


@graph_app.callback()
def _graph() -> None:
    """Ask a knowledge graph model."""


@hypernymy_app.callback()
def _hypernymy() -> None:
    """Ask an order embedding."""


@graph_app.command()
def predict(
    model: Folder,
    relation: Annotated[str, typer.Option(help="Name of the relation.")],
    head: Annotated[str | None, typer.Option(help="Name of the head: tails are predicted.")] = None,
    tail: Annotated[str | None, typer.Option(help="Name of the tail: heads are predicted.")] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Entities to print.")] = 10,
    known: Annotated[str | None, typer.Option(help="The graph's folder: what it holds already is marked.")] = None,
) -> None:
    """Print the likeliest entities for a missing link."""
    import torch

    from hf_contrastive.models import KnowledgeGraphModel

    with errors_as_messages(OSError):
        if (head is None) == (tail is None):
            raise DataError("give --head to predict tails, or --tail to predict heads")
        entities, relations = names(model, "entities.txt"), names(model, "relations.txt")
        graph = KnowledgeGraphModel.from_pretrained(str(model)).eval()
        given = torch.tensor([place(entities, head if head is not None else str(tail), "entity")])
        number = torch.tensor([place(relations, relation, "relation")])
        with torch.no_grad():
            if head is not None:
                scores = graph.score_tails(given, number)[0]
            elif graph.config.reciprocal:
                scores = graph.score_tails(given, number + len(relations))[0]
            else:
                scores = graph.score_heads(number, given)[0]
        true = partners(known, head, relation, tail) if known is not None else set()
    title = f"({head}, {relation}, ?)" if head is not None else f"(?, {relation}, {tail})"
    table = Table("entity", "score", *(["known"] if known is not None else []), title=escape(title))
    for row in scores.topk(min(k, len(entities))).indices.tolist():
        mark = [] if known is None else ["yes" if entities[row] in true else ""]
        table.add_row(escape(entities[row]), f"{scores[row]:.3f}", *mark)
    Console().print(table)


@hypernymy_app.command()
def explain(
    model: Folder,
    child: Annotated[str, typer.Argument(help="Name of the concept that may be below.")],
    ancestor: Annotated[str, typer.Argument(help="Name of the concept that may be above.")],
    threshold: Annotated[
        float | None, typer.Option(help="Violation up to which a pair is true; see results.json.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Coordinates to print.")] = 5,
) -> None:
    """Print by how much a pair violates the order, and in which coordinates."""
    import torch

    from hf_contrastive.models import OrderEmbeddingModel

    with errors_as_messages(OSError):
        concepts = names(model, "concepts.txt")
        order = OrderEmbeddingModel.from_pretrained(str(model)).eval()
        pair = torch.tensor([place(concepts, child, "concept"), place(concepts, ancestor, "concept")])
    with torch.no_grad():
        below, above = order(pair)
    violations = (above - below).clamp(min=0).square()
    console = Console()
    total = float(violations.sum())
    verdict = "" if threshold is None else f": {'below' if total <= threshold else 'not below'} {ancestor}"
    line = f"{child} below {ancestor}? violation {total:.4f}{verdict}"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    table = Table("coordinate", escape(child), escape(ancestor), "share of the violation")
    for row in violations.topk(min(k, len(violations))).indices.tolist():
        share = float(violations[row]) / total if total else 0.0
        table.add_row(str(row), f"{below[row]:.3f}", f"{above[row]:.3f}", f"{100 * share:.1f}%")
    console.print(table)


def partners(source: str, head: str | None, relation: str, tail: str | None) -> set[str]:
    """Names of the entities that a graph has for the open slot; its ids need not be the model's."""
    from hf_contrastive.data import load_knowledge_graph

    graph = load_knowledge_graph(source)
    own, other = (graph.known.heads, graph.known.tails) if tail is None else (graph.known.tails, graph.known.heads)
    name = head if tail is None else tail
    if name not in graph.entities or relation not in graph.relations:
        return set()
    chosen = (own == graph.entities.index(name)) & (graph.known.relations == graph.relations.index(relation))
    return {graph.entities[row] for row in other[chosen].tolist()}


def names(folder: Path, file: str) -> list[str]:
    """Names of a model folder, a line each; only a line feed ends one, as in the files they came from."""
    path = folder / file
    if not path.is_file():
        raise DataError(f"{path}: not there; name a folder that `hf-contrastive train` left as final/")
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")


def place(known: list[str], name: str, kind: str) -> int:
    """The id of a name; `DataError` with the nearest known one."""
    if name in known:
        return known.index(name)
    raise DataError(f"{kind} {name!r} is not in the model{did_you_mean(name, known, otherwise='')}")
