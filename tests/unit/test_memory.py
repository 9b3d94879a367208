"""Memory of one step, each measured in a process of its own."""

import sys
from pathlib import Path

import pytest
from harness import run_child
from helpers import save_tiny_checkpoint

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

MEGABYTE = 1_000_000


def measure(**options: object) -> dict:
    return run_child(BENCHMARKS / "footprint.py", {"allocator": "return", **options}, {"OMP_NUM_THREADS": "1"})


def test_the_loss_of_4096_pairs_takes_less_than_300_megabytes() -> None:
    measured = measure(what="loss", batch_size=4096, width=768)
    scores = 4096 * 4096 * 4
    assert scores < measured["extra_bytes"] < 300 * MEGABYTE  # less than the scores: nothing was measured


def test_recomputed_chunks_take_a_fraction_of_the_memory(tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path / "checkpoint")
    batch = {"what": "batch", "model": str(tmp_path / "checkpoint"), "batch_size": 512, "max_length": 32}
    plain, recomputed = (
        measure(**batch, chunk_size=64, recompute=recompute, bf16=False) for recompute in (False, True)
    )
    assert recomputed["loss"] == pytest.approx(plain["loss"], abs=1e-5)
    assert plain["extra_bytes"] > 200 * MEGABYTE
    assert recomputed["extra_bytes"] < plain["extra_bytes"] / 4
