"""`hf-contrastive encode`: killed and resumed, on two ranks, refused; its files hold what the encoder says."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import sentence
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.models import SentenceEncoder

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
OPTIONS = ["--device", "cpu", "--shard-size", "64", "--batch-tokens", "128"]
UNIT_HALVES = ["--dtype", "float16", "--normalize"]

# The command, which dies of SIGKILL at the n-th call of a function.
KILLED = """
import importlib, os, signal, sys
from hf_contrastive.cli import app

place, name, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
module = importlib.import_module(place)
owner, _, name = name.rpartition(".")
owner = getattr(module, owner) if owner else module
original = getattr(owner, name)

def dying(*args, **options):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **options)

setattr(owner, name, dying)
app(sys.argv[4:])
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 sentences of 1 to 12 words; some occur several times."""
    rng = random.Random(1)
    texts = [sentence(rng) for _ in range(450)]
    path = tmp_path_factory.mktemp("data") / "sentences.txt"
    path.write_text("\n".join([*texts, *texts[:50]]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, lines: Path) -> Path:
    """What one process writes without being killed."""
    output = tmp_path_factory.mktemp("whole") / "vectors.parquet"
    command = [sys.executable, "-m", "hf_contrastive.cli", "encode", str(lines), str(checkpoint)]
    subprocess.run([*command, "--output", str(output), *OPTIONS], env=ENVIRONMENT, timeout=300, check=True)
    return output


def invoke(*given: object) -> Any:
    return CliRunner().invoke(app, ["encode", *map(str, given)], env={"COLUMNS": "200"})


def refused(*given: object) -> str:
    done = invoke(*given)
    assert isinstance(done.exception, SystemExit) and done.exit_code != 0, done.exception
    return str(done.exception)


def vectors_of(file: Path) -> np.ndarray:
    column = pq.read_table(file)["vector"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def test_rows_are_those_of_the_file_with_the_encoders_vectors(checkpoint: Path, lines: Path, whole: Path) -> None:
    texts = lines.read_text(encoding="utf-8").splitlines()
    table = pq.read_table(whole)
    assert table.column_names == ["row", "text", "vector"]
    assert table["row"].to_pylist() == list(range(500)) and table["text"].to_pylist() == texts
    kind = table.schema.field("vector").type
    assert (kind.list_size, str(kind.value_type)) == (32, "float")
    encoder = SentenceEncoder.from_pretrained(str(checkpoint))
    expected = torch.cat([encoder.encode([text]) for text in texts[:80]])
    np.testing.assert_allclose(vectors_of(whole)[:80], expected, atol=1e-5)
    np.testing.assert_allclose(vectors_of(whole)[450:], vectors_of(whole)[:50], atol=1e-5)
    about = json.loads(whole.with_name("vectors.parquet.json").read_text())
    assert (about["rows"], about["width"], about["model_name_or_path"]) == (500, 32, str(checkpoint))
    assert sorted(path.name for path in whole.parent.iterdir()) == ["vectors.parquet", "vectors.parquet.json"]


@pytest.mark.slow
def test_killed_at_each_stage_and_started_again_gives_the_same_bytes(
    tmp_path: Path, checkpoint: Path, lines: Path, whole: Path
) -> None:
    output = tmp_path / "vectors.parquet"
    work = tmp_path / "vectors.parquet.work"
    given = [str(lines), str(checkpoint), "--output", str(output), *OPTIONS]
    times: dict[Path, int] = {}
    for place, name, count, shards in (
        ("hf_contrastive.retrieval.vectors", "np.save", 4, 3),  # in the fourth shard, of which a part is left
        ("hf_contrastive.retrieval.vectors", "Vectors.write", 3, 5),
        ("hf_contrastive.retrieval.vectors", "Vectors.read", 4, 8),  # while they are joined
        ("hf_contrastive.retrieval.encode", "write_json", 2, 8),  # joined, but not described yet
        ("hf_contrastive.retrieval.encode", "shutil.rmtree", 1, 8),
    ):
        command = [sys.executable, "-c", KILLED, place, name, str(count), "encode", *given]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == -signal.SIGKILL, done.stdout[-2000:] + done.stderr[-2000:]
        now = {path: path.stat().st_mtime_ns for path in (work / "vectors").glob("*.npy")}
        assert len(now) == shards and now.items() >= times.items(), (place, name)  # none was made again
        times = now
    assert output.read_bytes() == whole.read_bytes()
    stamp = output.stat().st_mtime_ns
    assert invoke(*given).exit_code == 0
    assert not work.exists() and output.stat().st_mtime_ns == stamp
    assert invoke(*given).exit_code == 0 and output.stat().st_mtime_ns == stamp


@pytest.mark.slow
@pytest.mark.distributed
def test_two_ranks_share_the_shards_and_write_the_file_of_one(
    tmp_path: Path, checkpoint: Path, lines: Path, whole: Path
) -> None:
    output = tmp_path / "vectors.parquet"
    command = [*TORCHRUN, "-m", "hf_contrastive.cli", "encode", str(lines), str(checkpoint), "--output", str(output)]
    done = subprocess.run(
        [*command, *OPTIONS], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "500 of 500 rows are still to be encoded; processes: 2" in done.stderr
    assert "256/256" in done.stderr  # the main process's half: four of eight shards
    assert output.read_bytes() == whole.read_bytes()


def test_npy_half_precision_and_unit_vectors(tmp_path: Path, checkpoint: Path, lines: Path, whole: Path) -> None:
    output = tmp_path / "v.npy"
    done = invoke(lines, checkpoint, "--output", output, *OPTIONS, *UNIT_HALVES, "--max-rows", 90)
    assert done.exit_code == 0, done.output
    stored = np.load(output, allow_pickle=False)
    expected = vectors_of(whole)[:90]
    assert stored.dtype == np.float16 and stored.shape == (90, 32)
    np.testing.assert_allclose(stored, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-3)


def test_bf16_changes_little_and_ids_are_kept(tmp_path: Path, checkpoint: Path, lines: Path, whole: Path) -> None:
    texts = lines.read_text(encoding="utf-8").splitlines()[:70]
    data = tmp_path / "corpus.tsv"
    data.write_text("key\tbody\n" + "".join(f"k{n}\t{text}\n" for n, text in enumerate(texts)), encoding="utf-8")
    given = [data, checkpoint, "--output", tmp_path / "out", "--bf16", "--no-text", "--id-column", "key"]
    done = invoke(*given, "--column", "body", *OPTIONS)
    assert done.exit_code == 0, done.output
    table = pq.read_table(tmp_path / "out" / "vectors.parquet")
    assert table.column_names == ["id", "vector"] and table["id"].to_pylist() == [f"k{n}" for n in range(70)]
    difference = np.abs(vectors_of(tmp_path / "out" / "vectors.parquet") - vectors_of(whole)[:70]).max()
    assert 0 < difference < 0.1


def test_other_settings_and_other_data_are_refused_by_name(
    tmp_path: Path, checkpoint: Path, lines: Path, whole: Path
) -> None:
    before = whole.read_bytes()
    given = [lines, checkpoint, "--output", whole, *OPTIONS]
    assert "differ in pooler (avg -> cls); choose another --output, or delete" in refused(*given, "--pooler", "cls")
    assert "differ in dtype (float32 -> float16)" in refused(*given, "--dtype", "float16")
    assert "differ in data (500 rows " in refused(*given, "--max-rows", "10")
    torch.manual_seed(1)
    other = save_tiny_checkpoint(tmp_path / "other")
    assert "differ in model (BertModel " in refused(lines, other, "--output", whole, *OPTIONS)
    assert whole.read_bytes() == before
    work = tmp_path / "new.parquet.work"
    work.mkdir()
    (work / "encode.json").write_text(json.dumps({"pooler": "cls"}))
    assert "choose another --output, or delete" in refused(lines, checkpoint, "--output", tmp_path / "new.parquet")
    mine = tmp_path / "mine.npy"
    mine.write_bytes(b"mine")
    assert "exists and was not begun here" in refused(lines, checkpoint, "--output", mine)
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "v.npy", "--text"], "text: v.npy has room for vectors alone; write .parquet"),
        (["--output", "v.npy", "--id-column", "a"], "id_column: v.npy has room for vectors alone"),
        (["--output", "v.csv"], "neither a folder nor one of *.parquet, *.npy"),
        (["--output", "v.npy", "--dtype", "int8"], "unknown dtype 'int8'"),
        (["--output", "v.npy", "--batch-tokens", "0"], "batch_tokens: must be positive"),
        (["--output", "v.npy", "--device", "gpu"], "device: 'gpu' cannot be used"),
        pytest.param(
            ["--output", "v.npy", "--device", "cuda"],
            "device: 'cuda' cannot be used",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA"),
        ),
        (["--output", "v.npy", "--max-length", "500"], "more than the 128 positions"),
        (["--output", "v.npy", "--column", "a"], "no column 'a'"),
    ],
)
def test_what_cannot_be_is_refused_first(
    options: list[str], message: str, tmp_path: Path, checkpoint: Path, lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(lines, checkpoint, *options)
    assert list(tmp_path.iterdir()) == []


def test_vectors_that_are_not_finite_are_refused(tmp_path: Path, lines: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "a")))
    with torch.no_grad():
        encoder.backbone.encoder.layer[-1].output.LayerNorm.weight.fill_(1e6)
    encoder.save_pretrained(tmp_path / "b")
    message = refused(lines, tmp_path / "b", "--output", tmp_path / "v.npy", *OPTIONS, "--dtype", "float16")
    assert "is not finite in float16" in message
