"""SentEval's seven transfer tasks, made up."""

from collections.abc import Iterable
from pathlib import Path

ROWS = 60  # of each class in each file
_TREC = ("ABBR:exp", "DESC:def", "ENTY:animal", "HUM:ind", "LOC:city", "NUM:date")
_BINARY_FILES = {
    "MR": ("rt-polarity.neg", "rt-polarity.pos"),
    "CR": ("custrev.neg", "custrev.pos"),
    "SUBJ": ("subj.subjective", "subj.objective"),
    "MPQA": ("mpqa.neg", "mpqa.pos"),
}


def write_transfer_tasks(root: Path, rows: int = ROWS) -> Path:
    """All seven in SentEval's layout; a sentence is its class and a number: `class1 MR 17`. Gives `root`."""

    def write(path: str, lines: Iterable[str], encoding: str = "utf-8") -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes("".join(line + "\n" for line in lines).encode(encoding))

    for task, names in _BINARY_FILES.items():
        for label, name in enumerate(names):
            write(f"{task}/{name}", [f"class{label} {task} {row} " for row in range(rows)])
    for split in ("train", "dev", "test"):
        write(f"SST/binary/sentiment-{split}", [f"class{n % 2} SST {split} {n} \t{n % 2}" for n in range(2 * rows)])
    for split, name in (("train", "train_5500.label"), ("test", "TREC_10.label")):
        lines = [f"{_TREC[row % 6]} class{row % 6} caf\xe9 {split} {row} ?" for row in range(6 * rows)]
        write(f"TREC/{name}", lines, "latin-1")
    for split in ("train", "test"):
        lines = [f"{row % 2}\t1\t2\tclass{row % 2} a {split} {row}\tclass1 b {split} {row}" for row in range(2 * rows)]
        header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
        write(f"MRPC/msr_paraphrase_{split}.txt", [header, *lines], "utf-8-sig")
    return root
