"""`hf-contrastive words neighbours | evaluate | export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hf_contrastive.commands.shared import errors_as_messages

if TYPE_CHECKING:
    from hf_contrastive.models import WordVectors

app = typer.Typer(no_args_is_help=True, help="Ask and convert word vectors.")

Model = Annotated[str, typer.Argument(help="Folder or Hub name of a model, or a .txt, .vec, .bin file of vectors.")]


@app.command()
def neighbours(
    model: Model,
    words: Annotated[list[str], typer.Argument(help="Words to look around.")],
    k: Annotated[int, typer.Option("--k", min=1, help="Neighbours of each.")] = 10,
) -> None:
    """Print the nearest words by cosine."""
    from hf_contrastive.evaluation import neighbours_table

    with errors_as_messages(OSError):
        table, _ = neighbours_table(load(model), words, k)
    Console().print(table)


@app.command()
def evaluate(
    model: Model,
    similarity: Annotated[
        str, typer.Option(envvar="HF_CONTRASTIVE_WORDSIM", help="Folder of word similarity sets, or one file.")
    ],
    analogies: Annotated[str | None, typer.Option(help="questions-words.txt.")] = None,
    oov: Annotated[str, typer.Option(help="Pairs with an unknown word: skip or zero.")] = "skip",
) -> None:
    """Print Spearman on word similarity sets, and accuracy on analogies."""
    from hf_contrastive.evaluation import evaluate_analogies, evaluate_word_similarity, similarity_table

    console = Console()
    with errors_as_messages(OSError):
        vectors = load(model)
        result = evaluate_word_similarity(vectors, similarity, oov)
        console.print(similarity_table(result.scores, f"word similarity, unknown words: {oov}"))
        if analogies is not None:
            answers = evaluate_analogies(vectors, analogies)
            for name, part in (("semantic", answers.semantic), ("syntactic", answers.syntactic)):
                value = "-" if part.accuracy is None else f"{100 * part.accuracy:.2f}%"
                console.print(f"analogies, {name}: {value}", highlight=False)


@app.command()
def export(
    model: Model,
    output: Annotated[Path, typer.Argument(help=".txt (word2vec text) or .bin (binary), for gensim; .gz zips.")],
) -> None:
    """Write vectors in a format of word2vec's, which gensim's KeyedVectors reads."""
    with errors_as_messages(OSError):
        vectors = load(model)
        vectors.save_word2vec(output, binary=is_binary(output))
    size = f"{len(vectors):,} words, {vectors.vectors.shape[1]} numbers each"
    Console().print(f"{output}: {size}", highlight=False, soft_wrap=True)


def load(model: str) -> "WordVectors":
    """Word vectors of a model folder, a Hub name or a file."""
    from hf_contrastive.models import WordVectors

    path = Path(model)
    if path.is_file():
        return WordVectors.load_word2vec(path, binary=is_binary(path))
    return WordVectors.from_model_folder(model)


def is_binary(path: Path) -> bool:
    """Whether a file of vectors is binary, by its name: .bin or .bin.gz."""
    return path.name.removesuffix(".gz").endswith(".bin")
