"""The graph benchmarks' own logic: turns, resuming, sums, and one tiny measurement of each contestant."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from graph_runs import make_graph_run

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import harness  # noqa: E402
import kg  # noqa: E402
import kg_contestant  # noqa: E402

SETTINGS = {"threads": 1, "device": "cpu", "graph": "graph", "dimension": 8, "batch": 16, "negatives": 4}
SETTINGS |= {"steps": 3, "triples": 5}


@pytest.mark.parametrize(
    ("contestant", "part"),
    [(name, part) for part in kg.PARTS for name in kg.CONTESTANTS if part == "train" or name != "ours_shared"],
)
def test_a_contestant_measures(contestant: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if contestant == "pykeen":
        pytest.importorskip("pykeen")
    make_graph_run(tmp_path / "kg")
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    job: dict[str, Any] = {**SETTINGS, "interaction": "complex", "contestant": contestant, "part": part, "seed": 1}
    assert 0 < kg_contestant.measure(job)["triples_per_second"] < 1e7


def test_contestants_take_turns_and_go_on(tmp_path: Path) -> None:
    ran: list[tuple[str, int, str]] = []
    rates = {"ours": 300.0, "ours_shared": 800.0, "pykeen": 200.0}

    def run(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        assert script.is_file() and variables["OMP_NUM_THREADS"] == "1" and job["batch"] == 16
        ran.append((job["part"], job["seed"], job["contestant"]))
        return {"triples_per_second": rates[job["contestant"]] * (job["seed"] - 41)}

    def results() -> harness.Results:
        return harness.Results(tmp_path / "out.json", SETTINGS, [], kg.summarise)

    kg.compare(results(), SETTINGS, ["transe"], 1, run)
    kg.compare(results(), SETTINGS, ["transe"], 2, run)
    trained = [("train", seed, name) for seed in (42, 43) for name in kg.CONTESTANTS]
    ranked = [("evaluate", seed, name) for seed in (42, 43) for name in ("ours", "pykeen")]
    assert sorted(ran) == sorted(trained + ranked) and ran[:3] == trained[:3]
    summary = json.loads((tmp_path / "out.json").read_text())["summary"]["transe"]
    assert summary["train"]["ours_shared"]["ratio"]["mean"] == 4 and summary["train"]["ours"]["ratio"]["stdev"] == 0
    assert summary["train"]["pykeen"]["triples_per_second"]["mean"] == 300
    assert summary["evaluate"].keys() == {"target", "ours", "pykeen"}
    kg.show(json.loads((tmp_path / "out.json").read_text())["summary"])
