"""The graph benchmarks' own logic: turns, resuming, sums, and one tiny measurement of each contestant."""

import json
from pathlib import Path
from typing import Any

import curves
import graph_costs
import graph_costs_contestant
import harness
import hypernymy_study
import kg
import kg_contestant
import kg_study
import pytest
import torch
import typer
from contexts import bank_context
from graph_runs import make_graph_run, make_order_run

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import build_sampler
from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

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


def test_self_adversarial_weights_of_study_and_recipe_are_those_of_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sun et al. (2019), equation 5: softmax(alpha x score) over an anchor's draws."""
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", ".")
    recipe = load_recipe(kg_study.RECIPE)
    for config in (*recipe.negatives.sampler_configs, kg_study.SOURCES["self_adversarial"]["negatives"]):
        sampler, context = build_sampler(config), bank_context(4, 100)
        drawn = sampler.sample(context)
        scores = torch.einsum("bd,bkd->bk", context.anchors, context.vectors(drawn.ids))
        assert drawn.mask.all() and drawn.mask.shape == (4, 16)
        torch.testing.assert_close(sampler.weigh(drawn, context), scores.softmax(1))


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


@pytest.mark.parametrize("source", kg_study.SOURCES)
def test_every_source_of_the_graph_study_trains(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_graph_run(tmp_path / "kg")
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    (tmp_path / "kg/WN18RR").symlink_to(tmp_path / "kg/graph")
    overrides = kg_study.overrides_of("WN18RR", "transd", source)
    short = [f"--output_dir={folder}/out", "--max_steps=4", "--eval_steps=2", "--use_cpu=true", "--logging_steps=1"]
    results = train(load_recipe(kg_study.RECIPE, [*overrides, *short]))
    assert results["steps"] == 4 and [entry["step"] for entry in results["curve"]] == [2, 4]
    assert curves.at_step(results["curve"], "eval_mrr") == results["curve"][-1]["eval_mrr"] > 0


@pytest.mark.parametrize("source", hypernymy_study.SOURCES)
def test_every_source_of_the_hypernymy_study_trains(source: str, tmp_path: Path) -> None:
    run = make_order_run(tmp_path / "run")
    overrides = hypernymy_study.overrides_of("filtered", source)
    results = train(load_recipe(run / "recipe.yaml", [*overrides, "--max_steps=4", "--eval_steps=2"]))
    assert results["steps"] == 4 and 0 < curves.at_step(results["curve"], "eval_accuracy") <= 1


def made_run(values: list[float], key: str) -> dict[str, Any]:
    curve: list[dict[str, float]] = [{key: value, "step": 10 * (turn + 1)} for turn, value in enumerate(values)]
    after = {"both": {"mrr": values[-1], "hits_at_10": 1.0}, "accuracy": values[-1]}
    return {"after": after, "curve": curve, "steps": 40, "train_seconds": 1.0}


def test_equal_time_is_counted_in_steps_by_what_a_step_costs() -> None:
    key = "eval_mrr"
    runs = {
        "a-b-uniform": [made_run([0.1, 0.2, 0.3, 0.4], key), made_run([0.1, 0.2, 0.3, 0.6], key)],
        "a-b-slow": [made_run([0.2, 0.5, 0.6, 0.7], key)],
        "a-b-fast": [made_run([0.1, 0.1, 0.1, 0.2], key)],
    }
    summary = kg_study.summarise(runs, {"a-b-uniform": 0.1, "a-b-slow": 0.16, "a-b-fast": 0.05})
    plain, slow, fast = summary.values()
    assert plain["cost"] == 1 and plain["equal_time"] == plain["equal_steps"]
    assert plain["equal_steps"]["mean"] == pytest.approx(0.5) and plain["seeds"] == 2
    assert slow["cost"] == pytest.approx(1.6) and slow["equal_steps"]["mean"] == 0.7
    assert slow["equal_time"]["mean"] == pytest.approx(0.55)  # after 25 of 40 steps
    assert fast["cost"] == 0.5 and fast["equal_time"] == fast["equal_steps"]
    curves.show(summary, kg_study.COLUMNS, "title")


def test_costs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="none.json: not there; run benchmarks/graph_costs.py first"):
        curves.step_seconds(tmp_path / "none.json")


def test_hypernymy_at_equal_time_is_run_with_fewer_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.dumps(made_run([0.8, 0.9], "eval_accuracy"))
    (tmp_path / "path_counted-uniform_1-42.json").write_text(made, encoding="utf-8")
    seconds = {"uniform_1": 0.1, "uniform_2": 0.101, "ace": 0.16}
    costs = {f"filtered-{name}": {"step_seconds": {"mean": value}} for name, value in seconds.items()}
    monkeypatch.setattr(hypernymy_study, "COSTS", tmp_path / "costs" / "costs.json")
    hypernymy_study.COSTS.parent.mkdir()
    hypernymy_study.COSTS.write_text(json.dumps({"summary": costs}), encoding="utf-8")
    asked = {}

    def study(*args: Any, name: str, **kwargs: Any) -> None:
        asked[name] = args[4][-1]

    monkeypatch.setattr(hypernymy_study, "study", study)
    context = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))
    hypernymy_study.main(context, ["path_counted"], list(seconds), [42], budget="time", output=tmp_path)
    assert asked == {"path_counted-ace_equal_time": "--max_steps=25"}
    with pytest.raises(RecipeError, match="filtered-uniform_1-SEED.json; run it at equal steps first"):
        hypernymy_study.main(context, ["filtered"], ["ace"], [42], budget="time", output=tmp_path)
    with pytest.raises(RecipeError, match="choose steps or time, got 'x'"):
        hypernymy_study.main(context, budget="x", output=tmp_path)


def test_costs_are_measured_by_group_and_summed_up_beside_the_plain_source(tmp_path: Path) -> None:
    asked = []

    def run(script: Path, job: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        asked.append(job["recipe"])
        assert script.is_file() and variables == {"OMP_NUM_THREADS": "1"}
        return {"step_seconds": {source: 0.1 * (place + 1) for place, source in enumerate(job["sources"])}}

    results = harness.Results(tmp_path / "out.json", {"steps": 2}, ["accelerate"], graph_costs.summarise)
    settings = {"steps": 2, "warmup": 1}
    for _ in range(2):  # the second time there is nothing left to do
        graph_costs.compare(results, settings, 2, ["WN18RR-transe", "filtered"], run)
    assert asked == 2 * [str(kg_study.RECIPE), str(hypernymy_study.RECIPE)]
    summary = results.summary
    assert summary["WN18RR-transe-bernoulli"]["ratio"]["mean"] == pytest.approx(2)
    assert summary["filtered-uniform_2"]["ratio"]["mean"] == pytest.approx(2)
    assert summary["filtered-ace"]["step_seconds"]["mean"] == pytest.approx(0.6)
    graph_costs.show(summary)
    assert set(graph_costs.GROUPS) == {
        "WN18RR-transe",
        "WN18RR-transd",
        "FB15k-237-transe",
        "FB15k-237-transd",
        "filtered",
    }


def test_a_step_of_each_source_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_graph_run(tmp_path / "kg")
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    (tmp_path / "kg/WN18RR").symlink_to(tmp_path / "kg/graph")
    recipe, sources = graph_costs.GROUPS["WN18RR-transe"]
    chosen = {name: sources[name] for name in ("uniform", "ace")}
    made = graph_costs_contestant.measure({"recipe": str(recipe), "sources": chosen, "steps": 2, "warmup": 1})
    assert made["step_seconds"].keys() == chosen.keys() and min(made["step_seconds"].values()) > 0


def test_a_figure_between_two_measurements_is_on_the_line_between_them() -> None:
    curve = [{"x": 1.0, "step": 10}, {"x": 3.0, "step": 20}]
    assert [curves.at_step(curve, "x", step) for step in (5, 10, 15, 20, 25)] == [1.0, 1.0, 2.0, 3.0, 3.0]
