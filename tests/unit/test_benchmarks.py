"""The benchmarks' own logic: sums, resuming, paths; and one tiny measurement of each contestant."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import contestant
import harness
import memory
import negatives_cost
import pytest
import sentence_training
from helpers import WORDS, save_tiny_checkpoint

from hf_contrastive.errors import DataError, RecipeError

ROOT = Path(__file__).parents[2]

JOB = {
    "device": "cpu",
    "batch_size": 4,
    "max_length": 16,
    "steps": 2,
    "warmup": 1,
    "bf16": False,
    "chunk_size": 3,
    "model": "tiny",
}


# --- harness


def test_spread() -> None:
    assert harness.spread([1.0, 2.0, 6.0]) == {"mean": 3.0, "stdev": math.sqrt(7), "min": 1.0, "max": 6.0}
    assert harness.spread([4.0]) == {"mean": 4.0, "stdev": 0.0, "min": 4.0, "max": 4.0}


def test_paths_of_the_machine_are_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, checkpoint = tmp_path / "data", tmp_path / "data" / "models" / "tiny"
    checkpoint.mkdir(parents=True)
    roundabout = f"{tmp_path}/data/../data"
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", roundabout + "/")
    monkeypatch.setenv("HF_CONTRASTIVE_CHECKPOINT", str(checkpoint))
    given = {
        "train_data": f"{roundabout}/nli/triplets.tsv.gz",
        "sts": {"source": f"{data}/sts", "average": 0.5},
        "model": [str(checkpoint), 1, None, True],
        "name": f"{checkpoint} (avg)",
        "recipe": f"{ROOT}/recipes/x.yaml",
        "other": "/somewhere/else/dev.tsv",
        "beside": f"{data}2/file",
        "kept": ["runs/study/x-42", "https://host/a/b", "Spearman / accuracy"],
    }
    assert harness.without_paths(given) == {
        "train_data": "${HF_CONTRASTIVE_DATA}/nli/triplets.tsv.gz",
        "sts": {"source": "${HF_CONTRASTIVE_DATA}/sts", "average": 0.5},
        "model": ["${HF_CONTRASTIVE_CHECKPOINT}", 1, None, True],
        "name": "${HF_CONTRASTIVE_CHECKPOINT} (avg)",
        "recipe": "./recipes/x.yaml",
        "other": ".../dev.tsv",
        "beside": ".../file",
        "kept": ["runs/study/x-42", "https://host/a/b", "Spearman / accuracy"],
    }


def test_a_name_on_the_hub_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_CHECKPOINT", "someone/some-model")
    assert harness.without_paths("someone/some-model") == "someone/some-model"
    assert harness.model_name("someone/some-model") == "someone/some-model"
    assert harness.model_name(str(ROOT / "tests")) == "tests"


def test_a_child_prints_its_measurement_last_and_says_why_it_failed(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, sys\n"
        "print('noise')\n"
        "given = json.loads(sys.argv[1])\n"
        "if 'fail' in given: sys.exit('it broke')\n"
        "print(json.dumps({'twice': 2 * given['x'], 'variable': os.environ['SOME_VARIABLE']}))\n"
    )
    assert harness.run_child(script, {"x": 4}, {"SOME_VARIABLE": "v"}) == {"twice": 8, "variable": "v"}
    with pytest.raises(RuntimeError, match=r"child.py .*exit status 1\nit broke"):
        harness.run_child(script, {"fail": True})


def test_results_go_on_under_the_same_settings_only(tmp_path: Path) -> None:
    def results(**settings: Any) -> harness.Results:
        return harness.Results(tmp_path / "r.json", settings, ["accelerate"], lambda made: {"count": len(made)})

    first = results(steps=3, bf16=True)
    first.add({"pair": 0, "contestant": "ours", "figures": [1, 2]})
    again = results(steps=3, bf16=True)
    assert again.has(pair=0, contestant="ours") and not again.has(pair=0, contestant="peer")
    again.add({"pair": 0, "contestant": "peer"})
    written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert [m["contestant"] for m in written["measurements"]] == ["ours", "peer"]
    assert written["summary"] == {"count": 2} and "accelerate" in written["environment"]
    with pytest.raises(RecipeError, match=r"r.json .*differ in bf16 \(True -> False\), steps \(3 -> 4\); choose"):
        results(steps=4, bf16=False)


# --- sentence training


class Runner:
    """Stands in for a child process: notes what it was asked for, and fails on its `fail_at`-th call."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.sentences: list[list[str]] = []
        self.fail_at = fail_at

    def __call__(self, script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        if len(self.jobs) == self.fail_at:
            raise KeyboardInterrupt
        self.jobs.append(job)
        self.sentences.append(Path(job["data"]).read_text(encoding="utf-8").splitlines())
        speed, peak = {"ours": (30.0, 1000), "peer": (10.0, 4000)}[job["contestant"]]
        speed += 3 * self.jobs.count(job)  # the second of each is faster by 3
        return {"sentences_per_second": speed, "step_seconds": {"median": 0.5}, "peak_rss_bytes": peak}


def compared(folder: Path, runner: Runner, pairs: int) -> dict[str, Any]:
    text = folder / "text.txt.gz"
    text.write_bytes(gzip.compress("".join(f"sentence {i}\n" for i in range(20)).encode(), mtime=0))
    settings = {**JOB, "data": str(text)}
    results = harness.Results(folder / "speed.json", settings, [], sentence_training.summarise)
    sentence_training.compare(results, settings, pairs, ("ours", "peer"), run=runner)
    return results.summary


def test_contestants_take_turns_on_the_same_sentences(tmp_path: Path) -> None:
    runner = Runner()
    summary = compared(tmp_path, runner, pairs=2)
    assert [job["contestant"] for job in runner.jobs] == ["ours", "peer", "ours", "peer"]
    assert runner.sentences == [[f"sentence {i}" for i in range(12)]] * 4  # 4 rows a step, 1 + 2 steps
    assert summary["contestants"]["ours"] == {
        "measurements": 2,
        "sentences_per_second": harness.spread([33.0, 36.0]),
        "median_step_seconds": 0.5,
        "peak_bytes": harness.spread([1000, 1000]),
    }
    assert summary["ours_against"] == {
        "peer": {
            "speed_ratios": [33 / 13, 36 / 16],
            "speed_ratio": harness.spread([33 / 13, 36 / 16]),
            "peak_memory_ratio": 0.25,
        }
    }


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path, Runner(fail_at=3), pairs=2)
    runner = Runner()
    summary = compared(tmp_path, runner, pairs=2)
    assert [job["contestant"] for job in runner.jobs] == ["peer"]
    assert summary["contestants"]["peer"]["measurements"] == 2
    more = Runner()
    compared(tmp_path, more, pairs=3)
    assert [job["contestant"] for job in more.jobs] == ["ours", "peer"]


def test_memory_of_the_gpu_counts_where_there_is_one() -> None:
    assert sentence_training.peak_bytes({"peak_rss_bytes": 5}) == 5
    assert sentence_training.peak_bytes({"peak_rss_bytes": 5, "peak_gpu_bytes": 3}) == 3


def test_too_few_sentences_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"text.txt: 2 lines are fewer than the 12 asked for; lower --steps"):
        sentence_training.first_sentences(str(tmp_path / "text.txt"), 12, "--steps")


def test_the_clock_leaves_the_warm_up_out() -> None:
    clock = contestant.Clock(contestant.Job(contestant="ours", data="", **JOB))
    clock.marks = [5.0, 6.0, 9.0]
    clock.on_log(None, None, None, {"loss": 0.5})
    clock.on_log(None, None, None, {"train_loss": 0.7})  # the Trainer's last words: a mean of all steps
    figures = clock.figures()
    assert figures["sentences_per_second"] == 4 * 2 / (9 - 5) and figures["seconds"] == 4.0
    assert figures["step_seconds"]["min"] == 1.0 and figures["step_seconds"]["max"] == 3.0
    assert figures["last_loss"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ours", "peer_allocator"])
def test_contestants_train(tmp_path: Path, name: str) -> None:
    pytest.importorskip("sentence_transformers")
    checkpoint = save_tiny_checkpoint(tmp_path / "checkpoint")
    sentences = tmp_path / "train.txt"
    sentences.write_text("".join(f"{' '.join(WORDS[i : i + 5])}\n" for i in range(12)), encoding="utf-8")
    job = JOB | {"contestant": name, "model": str(checkpoint), "data": str(sentences)}
    measured = harness.run_child(ROOT / "benchmarks" / "contestant.py", job, {"OMP_NUM_THREADS": "1"})
    assert measured["sentences_per_second"] == pytest.approx(8 / measured["seconds"])
    assert 0 < measured["last_loss"] < 20 * 2 + math.log(4)  # cosines in [-1, 1], scale 20, 4 candidates
    assert measured["peak_rss_bytes"] > 100e6
    assert ("tokenisation_seconds" in measured) == (name == "ours")


# --- memory


def test_memory_measures_what_is_missing(tmp_path: Path) -> None:
    settings = {"model": "tiny", "batch_size": 8, "max_length": 4, "chunk_size": 2}
    jobs = []

    def run(script: Path, job: dict[str, Any]) -> dict[str, Any]:
        if len(jobs) == 3:
            jobs.append(None)
            raise KeyboardInterrupt
        jobs.append(job)
        return {"extra_bytes": len(jobs)}

    def results() -> harness.Results:
        return harness.Results(tmp_path / "memory.json", settings, [], memory.summarise)

    with pytest.raises(KeyboardInterrupt):
        memory.measure(results(), settings, run)
    memory.measure(results(), settings, run)
    assert [(job["what"], job.get("bf16"), job["allocator"]) for job in jobs if job] == [
        ("loss", None, "return"),
        ("loss", None, "keep"),
        ("batch", True, "return"),
        ("batch", False, "return"),
    ]
    assert results().summary["batch bf16"] == {"target": 1_500_000_000, "return": 3}
    assert results().summary["loss"] == {"target": 300_000_000, "return": 1, "keep": 2}


# --- sources of negatives


def test_cost_of_a_source_is_the_ratio_to_the_plain_step_of_its_round() -> None:
    steps = {"in_batch": [1.0, 2.0], "ace_exact": [1.1, 2.4], "queue": [1.5]}
    made = [
        {"source": source, "round": turn, "step_seconds": {"median": seconds}}
        for source, rounds in steps.items()
        for turn, seconds in enumerate(rounds)
    ]
    summary = negatives_cost.summarise(made)
    assert summary["ace_exact"]["ratio"]["mean"] == pytest.approx((1.1 + 1.2) / 2)
    assert summary["ace_exact"]["target"] == 1.10
    assert summary["queue"]["ratio"]["mean"] == 1.5
    assert "ratio" not in summary["in_batch"]


def test_a_step_with_learned_negatives_is_timed(tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path / "tiny")
    lines = tmp_path / "sentences.txt"
    lines.write_text("".join(f"{' '.join(WORDS[i : i + 4])}\n" for i in range(12)), encoding="utf-8")
    overrides = {"negatives": json.dumps(negatives_cost.sources(4)["ace_exact_fresh"]), "bank_size": 16}
    job = {**JOB, "model": str(tmp_path / "tiny"), "data": str(lines), "contestant": "ours", "overrides": overrides}
    assert contestant.measure(contestant.Job(**job))["step_seconds"]["median"] > 0
