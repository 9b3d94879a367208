"""`hf-contrastive encode` over a whole file, killed twice on its way: is every row there once, with its own vector?

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/encode_resume.py --model CHECKPOINT

The command is started, killed (SIGKILL) when a third of its shards are there, again at two thirds, and then left
alone. The file that it ends with is compared with the data row by row, and 1,000 of its vectors with the encoder's.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
from harness import CHECKPOINT, RESULTS, Checkpoint, Results, SentencesFile, model_name, start, without_paths
from rich.console import Console
from sentence_training import default_data

from hf_contrastive.data import load_passages
from hf_contrastive.errors import RecipeError
from hf_contrastive.models import SentenceEncoder

SHARD = 8192  # texts, the command's own default
PROBED = 1000
TOLERANCE = 1e-4  # in float32 the padding of a batch moves the last digits; bfloat16 has two
LOOSE = 2e-2


def main(
    model: Checkpoint = CHECKPOINT,
    data: SentencesFile = None,
    rows: Annotated[int | None, typer.Option(min=3, help="Only the first rows; default: all.")] = None,
    max_length: Annotated[int, typer.Option(min=3, help="Tokens a sentence.")] = 128,
    shard_size: Annotated[int, typer.Option(min=1, help="Texts a shard.")] = SHARD,
    bf16: Annotated[bool, typer.Option(help="bfloat16 autocast.")] = False,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS / "encode_resume_cpu.json",
) -> None:
    """Run it where the file has no result yet, print what was found; exit 1 if a row is lost, doubled or another's."""
    data = data or default_data()
    settings = {
        "model": model_name(model),
        "data": without_paths(str(data)),
        "rows": rows,
        "max_length": max_length,
        "shard_size": shard_size,
        "bf16": bf16,
    }
    results = Results(output, settings, [], lambda measurements: measurements[-1] if measurements else {})
    if not results.measurements:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "vectors.parquet"
            given = [str(data), model, "--output", str(file), "--max-length", str(max_length)]
            given += ["--shard-size", str(shard_size), *(["--bf16"] if bf16 else [])]
            given += ["--max-rows", str(rows)] if rows else []
            texts = load_passages(str(data), max_rows=rows)["text"]
            starts = run_killed([*given, "--pooler", "avg"], file, -(-len(texts) // shard_size))
            results.add({"starts": starts, **compared(file, list(texts), model, max_length, bf16)})
    Console().print_json(json.dumps(results.summary))
    if not results.summary["equal"]:
        raise typer.Exit(1)


def run_killed(arguments: list[str], file: Path, shards: int) -> list[dict[str, Any]]:
    """Start the command three times, and kill it twice; for each start its seconds and the shards found and left.

    Raises:
        RecipeError: too few shards to be killed between them.
    """
    if shards < 3:
        raise RecipeError(
            f"--shard-size: {shards} shards are too few to be killed twice between them; take a smaller one"
        )
    folder = file.with_name(f"{file.name}.work") / "vectors"
    starts = []
    for until in (shards // 3, 2 * shards // 3, None):
        found, begun = _count(folder), time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "hf_contrastive.cli", "encode", *arguments])
        while process.poll() is None:
            if until is not None and _count(folder) >= until:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        ended = process.wait()
        if ended not in (0, -signal.SIGKILL):
            raise subprocess.CalledProcessError(ended, process.args)
        left = _count(folder) if folder.is_dir() else shards
        starts.append({"found": found, "left": left, "seconds": time.perf_counter() - begun, "killed": ended != 0})
    return starts


def _count(folder: Path) -> int:
    return len(list(folder.glob("*.npy")))


def compared(file: Path, texts: list[str], model: str, max_length: int, bf16: bool) -> dict[str, Any]:
    """Whether rows and texts are those of the data in their order, and how far vectors are from the encoder's own."""
    table = pq.read_table(file)
    in_order = table["row"].to_pylist() == list(range(len(texts))) and table["text"].to_pylist() == texts
    rows = np.linspace(0, len(texts) - 1, min(PROBED, len(texts))).astype(int)
    encoder = SentenceEncoder.from_pretrained(model, pooler="avg", max_length=max_length)
    normalize = json.loads(file.with_name(f"{file.name}.json").read_text())["made"]["normalize"]
    expected = encoder.encode([texts[row] for row in rows], bf16=bf16, normalize=normalize).numpy()
    found = np.array(table["vector"].take(rows).to_pylist(), dtype=np.float32)
    scale = np.linalg.norm(expected, axis=1, keepdims=True)
    difference = float((np.abs(found - expected) / scale).max())
    equal = in_order and difference <= (LOOSE if bf16 else TOLERANCE)
    return {"rows": len(table), "in_order": in_order, "largest_difference": difference, "equal": equal}


if __name__ == "__main__":
    start(main)
