"""Tiny but complete runs of knowledge graphs and hierarchies: data in which there is something to learn, a recipe."""

from pathlib import Path
from typing import Any

import yaml

GROUPS, MEMBERS = 4, 6
COMMON = {
    "max_steps": 24,
    "per_device_train_batch_size": 16,
    "eval_strategy": "steps",
    "eval_steps": 8,
    "save_strategy": "steps",
    "save_steps": 8,
    "logging_steps": 4,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
}
ACE = {"name": "adversarial", "k": 6, "update_every": 2}


def triples() -> list[tuple[str, str, str]]:
    """Rings of entities: the next one, the one before, and the one across, which is its own."""
    found = []
    for group in "abcd"[:GROUPS]:
        ring = [f"{group}{place}" for place in range(MEMBERS)]
        for place, entity in enumerate(ring):
            for relation, step in (("next", 1), ("before", -1), ("across", MEMBERS // 2)):
                found.append((entity, relation, ring[(place + step) % MEMBERS]))
    return found


def make_graph_run(folder: Path, **overrides: Any) -> Path:
    """A folder with graph/ and recipe.yaml; of `before` some links are held out, whose reverse is in train."""
    (folder / "graph").mkdir(parents=True, exist_ok=True)
    every = triples()
    held_out = [triple for triple in every if triple[1] == "before"][::2]
    splits = {"train": [t for t in every if t not in held_out], "valid": held_out[::2], "test": held_out[1::2]}
    for split, rows in splits.items():
        (folder / f"graph/{split}.txt").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    recipe = {
        "task": "graph",
        "interaction": "complex",
        "dimension": 8,
        "train_data": str(folder / "graph"),
        "negatives": {"name": "uniform", "k": 12},
        "objective": "infonce",
        "output_dir": str(folder / "out"),
        "learning_rate": 0.3,
        **COMMON,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**recipe, **overrides}), encoding="utf-8")
    return folder


def make_order_run(folder: Path, **overrides: Any) -> Path:
    """A folder with pairs.tsv, a closed tree of 40 concepts with three children each, and recipe.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for child in range(1, 40):
        ancestor = child
        while ancestor:
            ancestor = (ancestor - 1) // 3
            lines.append(f"c{child}\tc{ancestor}\n")
    (folder / "pairs.tsv").write_text("".join(lines), encoding="utf-8")
    recipe = {
        "task": "hypernymy",
        "dimension": 6,
        "train_data": str(folder / "pairs.tsv"),
        "dev_pairs": 10,
        "test_pairs": 10,
        "negatives": {"name": "uniform", "k": 2, "shared": False},
        "output_dir": str(folder / "out"),
        "learning_rate": 0.1,
        **COMMON,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**recipe, **overrides}), encoding="utf-8")
    return folder
