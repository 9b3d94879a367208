"""Rewrite the tables in README.md and docs/ from what the benchmarks measured.

    python scripts/tables.py            write
    python scripts/tables.py --check    change nothing; exit 1 where a table is out of date or its JSON is missing

A table stands between `<!-- table: NAME -->` and `<!-- end: NAME -->`, NAME being one of `TABLES`.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from ablation_tables import augmentations_table, dropout_table, poolers_table
from encoding_tables import encode_table, evaluators_table
from graph_tables import hypernymy_study_table, kg_study_table, kg_table, recipes_table
from sentence_tables import (
    geometry_table,
    memory_table,
    negatives_cost_table,
    negatives_study_table,
    onnx_table,
    sentence_training_table,
    simcse_table,
)
from table_cells import Runs
from word_tables import averaged_vectors_table, word2vec_table, words_cost_table, words_study_table

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end: \2 -->)", re.DOTALL)
MARKER = re.compile(r"<!-- (?:table|end): ")
# By name: what makes it, and the files and folders it is made from.
TABLES: dict[str, tuple[Callable[[Runs], str], *tuple[str, ...]]] = {
    "simcse_distilbert": (simcse_table, "simcse_distilbert"),
    "sentence_training": (sentence_training_table, "sentence_training_cpu.json"),
    "memory": (memory_table, "memory_cpu.json"),
    "negatives_study": (negatives_study_table, "negatives_study"),
    "augmentations": (augmentations_table, "ablations", "negatives_study"),
    "dropout": (dropout_table, "ablations", "negatives_study"),
    "poolers": (poolers_table, "ablations", "negatives_study"),
    "geometry": (geometry_table, "geometry.json"),
    "word2vec": (word2vec_table, "word2vec_cpu.json"),
    "words_study": (words_study_table, "words_study"),
    "words_cost": (words_cost_table, "words_cost_cpu.json"),
    "averaged_vectors": (averaged_vectors_table, "averaged_vectors.json"),
    "kg": (kg_table, "kg_cpu.json"),
    "kg_study": (kg_study_table, "kg_study", "graph_costs_cpu.json"),
    "recipes": (recipes_table, "recipes"),
    "hypernymy_study": (hypernymy_study_table, "hypernymy_study", "graph_costs_cpu.json"),
    "negatives_cost": (negatives_cost_table, "negatives_cost_cpu.json"),
    "onnx": (onnx_table, "onnx_cpu.json"),
    "encode": (encode_table, "encode_cpu.json", "encode_resume_cpu.json"),
    "evaluators": (evaluators_table, "evaluators.json"),
}


class TableError(Exception):
    """A table that cannot be made; the message names file and remedy."""


def main(
    check: Annotated[bool, typer.Option("--check", help="Change nothing, exit 1 if anything would.")] = False,
) -> None:
    """Rewrite the tables in README.md and docs/ from benchmarks/results."""
    try:
        stale = update(ROOT, write=not check)
    except TableError as error:
        raise SystemExit(f"error: {error}") from error
    if stale and check:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        raise SystemExit(f"error: {names}: tables out of date; run `python scripts/tables.py`")


def update(root: Path, write: bool) -> list[Path]:
    """Files under `root` whose tables are not what the results say; written anew if `write`."""
    stale = []
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        new = with_tables(text, root / "benchmarks" / "results", where=str(path.relative_to(root)))
        if new != text:
            stale.append(path)
            if write:
                path.write_text(new, encoding="utf-8")
    return stale


def with_tables(text: str, results: Path, where: str) -> str:
    """`text` with every block filled from the JSON files under `results`.

    Raises:
        TableError: a marker without its partner, an unknown table, or a table whose JSON is missing.
    """
    if len(MARKER.findall(text)) != 2 * len(BLOCK.findall(text)):
        raise TableError(f"{where}: each `<!-- table: NAME -->` needs an `<!-- end: NAME -->` after it")

    def fill(block: re.Match[str]) -> str:
        begin, name, _, end = block.groups()
        if name not in TABLES:
            raise TableError(f"{where}: unknown table {name!r}; choose from {', '.join(TABLES)}")
        make, *sources = TABLES[name]
        return begin + make(read([results / source for source in sources], where, name)) + end

    return BLOCK.sub(fill, text)


def read(sources: list[Path], where: str, name: str) -> list[dict[str, Any]]:
    """The JSON files, and those in the folders, sorted by name; a run's file name is its key `file`."""
    paths = [path for source in sources for path in (sorted(source.glob("*.json")) if source.is_dir() else [source])]
    paths = [path for path in paths if path.is_file()]  # a study that has only begun has tables
    if not paths:
        made_from = " and ".join(map(str, sources))
        raise TableError(f"{where}: table {name} is made from {made_from}, which is missing; see benchmarks/README.md")
    return [{"file": path.stem, **json.loads(path.read_text(encoding="utf-8"))} for path in paths]


if __name__ == "__main__":
    typer.run(main)
