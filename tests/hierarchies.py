"""A small hierarchy, and the files it stands in."""

import gzip
from pathlib import Path

import numpy as np
import torch

PATHS = {
    ("animal", "entity"): 1, ("plant", "entity"): 1, ("mammal", "animal"): 1, ("mammal", "entity"): 1,
    ("pet", "animal"): 1, ("pet", "entity"): 1, ("dog", "mammal"): 1, ("dog", "pet"): 1, ("dog", "animal"): 2,
    ("dog", "entity"): 2, ("cat", "mammal"): 1, ("cat", "animal"): 1, ("cat", "entity"): 1, ("poodle", "dog"): 1,
    ("poodle", "mammal"): 1, ("poodle", "pet"): 1, ("poodle", "animal"): 2, ("poodle", "entity"): 2,
    ("tree", "plant"): 1, ("tree", "entity"): 1, ("oak", "tree"): 1, ("oak", "plant"): 1, ("oak", "entity"): 1,
}  # fmt: skip


def write(path: Path, rows: list[tuple]) -> Path:
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def closure_file(folder: Path) -> Path:
    return write(folder / "closure.tsv", [(*pair, paths) for pair, paths in PATHS.items()])


def rows(pairs: torch.Tensor | np.ndarray) -> list[tuple[int, int]]:
    return [tuple(pair) for pair in pairs.tolist()]
