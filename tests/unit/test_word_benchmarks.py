"""The word benchmarks' own logic: turns, resuming, sums, and one tiny measurement of each contestant."""

import json
from pathlib import Path
from typing import Any

import harness
import pytest
import word2vec
import word2vec_contestant
import words_cost
import words_study

from hf_contrastive.errors import RecipeError

SETTINGS = {"train_data": "text", "max_rows": None, "threads": 1, "device": "cpu", "chunks": 2}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty words in 400 sentences, and three similarity sets of them."""
    words = [a + b for a in "bcdfghkl" for b in ("an", "el", "in", "ot", "us")]
    lines = [
        " ".join(words[(row * 7 + place * (1 + row % 3)) % len(words)] for place in range(12)) for row in range(400)
    ]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "wordsim").mkdir()
    for file in ("EN-WS-353-ALL.txt", "EN-SIMLEX-999.txt", "EN-RW-STANFORD.txt"):
        pairs = "".join(f"{words[i]} {words[-1 - i]} {i}\n" for i in range(10))
        (tmp_path / "wordsim" / file).write_text(pairs, encoding="utf-8")
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_CONTRASTIVE_WORD_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("contestant", ["ours", "gensim", "steps"])
def test_a_contestant_measures(contestant: str, data: Path) -> None:
    if contestant == "gensim":
        pytest.importorskip("gensim")
    job: dict[str, Any] = {**SETTINGS, "train_data": str(data / "text.txt"), "contestant": contestant, "epochs": 1}
    job |= {"seed": 1, "overrides": {"negatives": "{name: unigram, k: 4, shared: false}"}}
    if contestant == "steps":
        measured = word2vec_contestant.measure(job | {"warmup": 1, "steps": 3})
        assert 0 < measured["step_seconds"] < 10
        return
    measured = word2vec_contestant.measure(job)
    assert measured["words"] == 4800
    assert measured["words_per_second"] == pytest.approx(4800 / measured["seconds"])
    assert measured["scores"].keys() == set(word2vec.SETS)


def test_contestants_take_turns_and_go_on(tmp_path: Path) -> None:
    ran: list[tuple[int, int, str]] = []

    def run(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        assert script.is_file() and variables["OMP_NUM_THREADS"] == "1"
        ran.append((job["epochs"], job["seed"], job["contestant"]))
        speed = 300.0 if job["contestant"] == "ours" else 200.0
        return {"seconds": 1.0, "words_per_second": speed, "scores": dict.fromkeys(word2vec.SETS, 0.5)}

    def results() -> harness.Results:
        return harness.Results(tmp_path / "out.json", SETTINGS, [], word2vec.summarise)

    word2vec.compare(results(), SETTINGS, [1], 1, run)
    word2vec.compare(results(), SETTINGS, [1], 2, run)
    assert ran == [(1, 42, "ours"), (1, 42, "gensim"), (1, 43, "ours"), (1, 43, "gensim")]
    summary = json.loads((tmp_path / "out.json").read_text())["summary"]["1"]
    assert summary["ratio"]["mean"] == pytest.approx(1.5)
    assert summary["gensim"]["scores"]["RW"]["mean"] == 0.5


def test_cost_is_a_ratio_of_the_same_round() -> None:
    made = [
        {"estimator": name, "round": turn, "step_seconds": seconds}
        for name, seconds_of in {"negative_sampling": [1.0, 2.0], "ace": [1.5, 2.0]}.items()
        for turn, seconds in enumerate(seconds_of)
    ]
    summary = words_cost.summarise(made)
    assert summary["ace"]["ratio"]["mean"] == pytest.approx(1.25)
    assert summary["ace"]["target"] == 1.4
    assert "ratio" not in summary["negative_sampling"]


def test_equal_time_means_fewer_steps_for_what_costs_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_study, "RESULTS", tmp_path)
    with pytest.raises(RecipeError, match="words_cost"):
        words_study.run_one("ace", 42, 100, "time", tmp_path, [])
    summary = {
        "negative_sampling": {},
        "ace": {"ratio": {"mean": 1.25}},
        "self_adversarial": {"ratio": {"mean": 1.01}},
    }
    (tmp_path / "words_cost_cpu.json").write_text(json.dumps({"summary": summary}), encoding="utf-8")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(words_study, "study", lambda *given, name, kept: asked.setdefault(name, given[4]))
    for source in ("negative_sampling", "self_adversarial", "adv"):
        words_study.run_one(source, 42, 100, "time", tmp_path, [])
    assert list(asked) == ["adv-equal_time"]
    assert asked["adv-equal_time"][asked["adv-equal_time"].index("--max_steps") + 1] == "80"


@pytest.mark.parametrize("source", [*words_study.SOURCES, *words_study.ESTIMATORS])
def test_every_source_is_a_recipe(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_contrastive.recipe import load_recipe

    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    asked: list[Any] = []
    monkeypatch.setattr(words_study, "study", lambda *given, **_: asked.append(given))
    words_study.run_one(source, 42, 100, "steps", tmp_path, [])
    (recipes, seeds, _, _, overrides) = asked[0]
    recipe = load_recipe(recipes[0], overrides)
    assert recipe.task == "words" and recipe.training.max_steps == 100 and seeds == [42]
