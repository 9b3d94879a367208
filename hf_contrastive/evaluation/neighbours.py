"""The nearest words of some words, to look at: on the terminal and in a model card."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from hf_contrastive.models.word_vectors import Neighbours, WordVectors, row_of

_UNKNOWN = "(no vector)"


def neighbours_table(vectors: WordVectors, words: Sequence[str], k: int = 5) -> tuple[Table, list[str]]:
    """The k nearest words of each word with their cosines, as a table of rich and as the lines of one in Markdown.

    Words are looked up as they are written, then in lower case; one without a vector has a row that says so.

    Raises:
        ValueError: k below 1.
    """
    rows = [row_of(vectors.index, word) for word in words]
    found = iter(vectors.most_similar([vectors.words[row] for row in rows if row >= 0], k))
    table = Table(title="Nearest words, cosine")
    table.add_column("word", no_wrap=True)
    table.add_column("nearest words")
    lines = ["| word | nearest words |", "| --- | --- |"]
    for word, row in zip(words, rows, strict=True):
        nearest = _listed(next(found)) if row >= 0 else _UNKNOWN
        table.add_row(Text(word), Text(nearest))  # as they are: [this] would be markup
        lines.append(f"| {_cell(word)} | {_cell(nearest)} |")
    return table, lines


def _listed(neighbours: Neighbours) -> str:
    return ", ".join(f"{word} {cosine:.2f}" for word, cosine in neighbours)


def _cell(text: str) -> str:
    """Text of a Markdown table's cell, in which | would end it."""
    return text.replace("|", "\\|")
