"""`hf-contrastive mine`: killed and resumed, on two ranks, refused, and its output trained on."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from helpers import save_tiny_checkpoint
from runs import log_of, make_run, sentence
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
MODULE = ["-m", "hf_contrastive.cli", "mine"]
OPTIONS = ["--shard-size", "16", "--index", "ivf", "--nprobe", "4"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29547"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 sentences; every tenth occurs twice, its copy far away and with spaces around it."""
    rng = random.Random(1)
    lines = [sentence(rng) for _ in range(1080)]
    path = tmp_path_factory.mktemp("corpus") / "sentences.txt"
    path.write_text("\n".join([*lines, *(f" {line}  " for line in lines[::9])]) + "\n", encoding="utf-8")
    return path


def arguments(data: Path, model: Path, output: Path, *options: str) -> list[str]:
    fixed = ["--device", "cpu", "--k", "3", "--max-score", "0.97", "--batch-size", "16"]
    return [str(data), str(model), "--output", str(output), *fixed, *options]


def invoke(*given: str) -> Any:
    return CliRunner().invoke(app, ["mine", *given], env={"COLUMNS": "200"})


def rows_of(file: Path) -> list[dict]:
    return pq.read_table(file).to_pylist()


def start(command: list[str]) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *command], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def kill_when_there(command: list[str], file: Path) -> None:
    process = subprocess.Popen([sys.executable, *command], env=ENVIRONMENT, stderr=subprocess.PIPE)
    deadline = time.time() + 240
    while not file.exists() and time.time() < deadline:
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert file.exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, corpus: Path) -> Path:
    """What one process mines without being killed."""
    output = tmp_path_factory.mktemp("whole") / "mined.parquet"
    start([*MODULE, *arguments(corpus, checkpoint, output, *OPTIONS)])
    return output


@pytest.mark.slow
def test_killed_twice_and_started_again_gives_the_same_bytes_and_encodes_nothing_again(
    tmp_path: Path, checkpoint: Path, corpus: Path, whole: Path
) -> None:
    output = tmp_path / "mined.parquet"
    work = tmp_path / "mined.parquet.work"
    command = [*MODULE, *arguments(corpus, checkpoint, output, *OPTIONS)]
    kill_when_there(command, work / "vectors" / "00004.npy")
    encoded = {path: path.stat().st_mtime_ns for path in (work / "vectors").glob("*.npy")}
    assert 5 <= len(encoded) < 68 and not (work / "search" / "00000.safetensors").exists()
    kill_when_there(command, work / "search" / "00003.safetensors")
    assert len(list((work / "vectors").glob("*.npy"))) == 68  # 1,080 distinct texts
    searched = {path: path.stat().st_mtime_ns for path in (work / "search").glob("*.safetensors")}
    assert 4 <= len(searched) < 75 and not output.exists()
    done = start(command)
    assert output.read_bytes() == whole.read_bytes()
    assert "0 of 1,080 distinct texts are still to be encoded" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in (*encoded, *searched)} == {**encoded, **searched}


@pytest.mark.slow
@pytest.mark.distributed
def test_two_ranks_share_the_shards_and_write_the_file_of_one(
    tmp_path: Path, checkpoint: Path, corpus: Path, whole: Path
) -> None:
    output = tmp_path / "mined.parquet"
    done = start([*TORCHRUN, *MODULE, *arguments(corpus, checkpoint, output, *OPTIONS)])
    assert "1,080 of 1,080 distinct texts are still to be encoded; processes: 2" in done.stderr
    # The bar of the main process counts its own half: 34 of 68 shards of 16 sentences.
    assert "544/544" in done.stderr
    assert output.read_bytes() == whole.read_bytes()


def test_planted_copies_never_come_out(corpus: Path, whole: Path) -> None:
    rows = rows_of(whole)
    assert [row["anchor"] for row in rows] == corpus.read_text(encoding="utf-8").splitlines()
    taken = 0
    for row in rows:
        negatives = [row[f"negative_{n}"] for n in (1, 2, 3) if row[f"negative_{n}"] is not None]
        assert row["anchor"].strip() not in {text.strip() for text in negatives}
        assert len({text.strip() for text in negatives}) == len(negatives) == len(row["scores"])
        assert max(row["scores"], default=0) <= 0.97 and row["positive"] == row["anchor"]
        taken += len(negatives)
    assert taken == 3 * len(rows)


def test_scores_are_cosines_of_the_encoder(checkpoint: Path, whole: Path) -> None:
    row = rows_of(whole)[7]
    texts = [row["anchor"], row["negative_1"], row["negative_2"], row["negative_3"]]
    vectors = SentenceEncoder.from_pretrained(str(checkpoint)).encode(texts, normalize=True)
    assert row["scores"] == pytest.approx((vectors[1:] @ vectors[0]).tolist(), abs=1e-3)


@pytest.mark.parametrize("kind", ["sentences", "pairs"])
def test_a_recipe_trains_on_what_was_mined(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path / "run", hard_negatives=kind == "pairs")
    data = run / ("train.tsv" if kind == "pairs" else "train.txt")
    columns = ["--anchor", "sent0", "--positive", "sent1"] if kind == "pairs" else []
    output = tmp_path / "mined.parquet"
    fixed = ["--output", str(output), "--device", "cpu", "--k", "2", "--max-score", "0.88", "--range-max", "240"]
    done = invoke(str(data), str(run / "checkpoint"), *fixed, *columns)
    assert done.exit_code == 0, done.output
    assert "rows with fewer" in done.output and "negatives: [in_batch, hard]" in done.output
    counts = [len(row["scores"]) for row in rows_of(output)]
    assert len(counts) == 240 and max(counts) == 2
    mapping = "{anchor: anchor, positive: positive, negatives: [negative_1, negative_2]}"
    assert mapping in done.output
    overrides = ["--train_data", str(output), "--columns", mapping, "--negatives", "[in_batch, hard]"]
    results = train(load_recipe(run / "recipe.yaml", overrides))
    logged = log_of(run, 12)
    assert all(math.isfinite(entry["loss"]) for entry in logged)
    assert results["steps"] == 12 and results["after"]["dev"] != results["before"]["dev"]
    assert logged[0]["negatives"] > 15  # more than the 15 others of the batch: the mined ones are there


def test_pairs_give_what_sentence_transformers_mines(tmp_path: Path, checkpoint: Path) -> None:
    """All but a few: vectors in float16 decide otherwise where two scores, or a score and its limit, nearly agree."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.util import mine_hard_negatives

    rng = random.Random(2)
    pairs = {"anchor": [f"{sentence(rng)} {n}" for n in range(80)], "positive": [sentence(rng) for _ in range(80)]}
    SentenceEncoder.from_pretrained(str(checkpoint)).save_pretrained(tmp_path / "model")
    theirs = mine_hard_negatives(
        Dataset.from_dict(pairs),
        sentence_transformers.SentenceTransformer(str(tmp_path / "model"), device="cpu"),
        range_max=80,
        relative_margin=0.05,
        num_negatives=3,
        output_format="n-tuple",
        output_scores=True,
        verbose=False,
    )
    data = tmp_path / "pairs.jsonl"
    Dataset.from_dict(pairs).to_json(str(data))
    output = tmp_path / "mined.jsonl"
    done = invoke(
        *(str(data), str(tmp_path / "model"), "--output", str(output)),
        *("--k", "3", "--max-percent", "0.95", "--device", "cpu"),
    )
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    ours = {row["anchor"]: row for row in rows}
    assert len(ours) == 80 and len(theirs) > 50
    same = 0
    for row in theirs:
        mine = ours[row["anchor"]]
        assert mine["positive_score"] == pytest.approx(row["scores"][0], abs=1e-4)
        same += all(mine[f"negative_{n}"] == row[f"negative_{n}"] for n in (1, 2, 3)) and (
            mine["scores"] == pytest.approx(row["scores"][1:], abs=1e-4)
        )
    assert same > 0.9 * len(theirs)


def test_other_settings_are_refused_and_the_vectors_can_be_kept(
    tmp_path: Path, checkpoint: Path, corpus: Path
) -> None:
    output = tmp_path / "folder"
    given = arguments(corpus, checkpoint, output, "--shard-size", "400")
    assert invoke(*given).exit_code == 0
    file, work = output / "mined.parquet", output / "mined.parquet.work"
    first = file.read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in (work / "vectors").iterdir()}
    assert invoke(*given, "--batch-size", "8").exit_code == 0  # how fast, not what
    assert file.read_bytes() == first

    for options, message in (
        (["--pooler", "cls"], "differ in pooler (avg -> cls); choose another --output, or delete"),
        (["--bf16"], "differ in bf16 (False -> True)"),
        (["--max-length", "12"], "differ in max_length (128 -> 12)"),
        (["--margin", "0.2"], "differ in margin (not set -> 0.2)"),
        (["--k", "4", "--index", "ivf"], "differ in k (3 -> 4), index (flat -> ivf), nprobe (not set -> 32)"),
    ):
        done = invoke(*given, *options)
        assert done.exit_code != 0 and message in str(done.exception), options
    other = tmp_path / "other"
    torch.manual_seed(1)
    save_tiny_checkpoint(other)
    assert "differ in model (BertModel " in str(invoke(*arguments(corpus, other, output)).exception)
    longer = tmp_path / "longer.txt"
    longer.write_text(corpus.read_text(encoding="utf-8") + "one more\n", encoding="utf-8")
    assert "differ in data (1,200 sentences " in str(invoke(*arguments(longer, checkpoint, output)).exception)
    assert "differ in corpus (data -> 1,201 texts " in str(invoke(*given, "--corpus", str(longer)).exception)

    for path in (work / "search").iterdir():
        path.unlink()
    (work / "search").rmdir()
    assert invoke(*given, "--margin", "0.2").exit_code == 0
    assert max(max(row["scores"], default=0) for row in rows_of(file)) <= 0.8
    assert {path: path.stat().st_mtime_ns for path in (work / "vectors").iterdir()} == stamps


def test_candidates_of_a_corpus_file(tmp_path: Path, checkpoint: Path) -> None:
    rng = random.Random(3)
    questions = [f"{sentence(rng)} ?" for _ in range(30)]
    answers = [sentence(rng) for _ in range(30)]
    documents = [*answers, *(sentence(rng) for _ in range(50))]
    data = tmp_path / "pairs.tsv"
    data.write_text("q\ta\n" + "".join(f"{q}\t{a}\n" for q, a in zip(questions, answers, strict=True)))
    passages = tmp_path / "passages.jsonl"
    passages.write_text("".join(json.dumps({"id": n, "body": text}) + "\n" for n, text in enumerate(documents)))
    given = [str(data), str(checkpoint), "--output", str(tmp_path / "mined.parquet"), "--device", "cpu"]
    assert "(here: --anchor COLUMN --positive COLUMN)" in str(invoke(*given).exception)
    given += ["--anchor", "q", "--positive", "a", "--corpus", str(passages)]
    assert "(here: --corpus-column COLUMN)" in str(invoke(*given).exception)
    done = invoke(*given, "--corpus-column", "body", "--skip-first", "2")
    assert done.exit_code == 0, done.output
    for row, answer in zip(rows_of(tmp_path / "mined.parquet"), answers, strict=True):
        negatives = {row[f"negative_{n}"] for n in range(1, 6)}
        assert row["positive"] == answer and negatives <= set(documents) - {answer} and len(negatives) == 5


def test_errors_come_before_time_is_spent_and_without_a_traceback(tmp_path: Path, checkpoint: Path) -> None:
    good = tmp_path / "a.txt"
    good.write_text("one\ntwo\n")
    output = ["--output", str(tmp_path / "out")]
    for given, message in (
        ([str(tmp_path / "b.txt"), str(checkpoint), *output], "b.txt: no such file; did you mean"),
        ([str(good), str(tmp_path / "nowhere"), *output], "no checkpoint that Transformers can load"),
        ([str(good), str(checkpoint), *output, "--max-length", "500"], "more than the 128 positions"),
        ([str(good), str(checkpoint), *output, "--max-percent", "95"], "0.95 for 95 %"),
        ([str(good), str(checkpoint), "--output", str(good)], "neither a folder nor one of"),
    ):
        done = invoke(*given)
        assert isinstance(done.exception, SystemExit) and message in str(done.exception), given
    assert not (tmp_path / "out" / "mined.parquet.work").exists()
