"""Studies: which runs they start, go on with and refuse, and how they are shown."""

import json
from pathlib import Path
from typing import Any

import negatives_study
import pytest
import simcse_study

from hf_contrastive.errors import RecipeError


class Training:
    """Stands in for `python -m hf_contrastive.train`: leaves what a run leaves."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.commands: list[list[str]] = []
        self.befores: list[Any] = []
        self.fail_at = fail_at

    def __call__(self, command: list[str]) -> None:
        options = dict(zip(command[4::2], command[5::2], strict=True))
        folder = Path(options["--output_dir"])
        before = folder / "before.json"
        self.befores.append(json.loads(before.read_text(encoding="utf-8")) if before.is_file() else None)
        self.commands.append(command)
        assert not (folder / "checkpoint-2").exists()  # else it would go on there, and its seconds be too few
        for name in ("checkpoint-2", "final"):
            (folder / name).mkdir(parents=True)
        if len(self.commands) == self.fail_at:
            raise KeyboardInterrupt
        seed = int(options["--seed"])
        results = {
            "before": {"name": "before", "dev": {"dev_spearman": 0.25}},
            "after": {"dev": {"dev_spearman": 0.5 + seed / 100}, "sts": None},
            "recipe": simcse_study.load_recipe(command[3], command[4:]).text,
            "train_seconds": 10.0 * seed,
            "not kept": str(folder),
        }
        results |= dict.fromkeys(("curve", "losses", "best_dev", "best_step", "steps", "environment"), 1)
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    lines = ["model_name_or_path: ${HF_CONTRASTIVE_DATA}/tiny", "train_data: ${HF_CONTRASTIVE_DATA}/train.txt"]
    path = tmp_path / "un-sup.yaml"
    path.write_text("\n".join([*lines, "use_cpu: true", "output_dir: runs/x"]), encoding="utf-8")
    return path


def study(recipe: Path, run: Training, seeds: list[int], **options: Any) -> dict[str, list[dict[str, Any]]]:
    return simcse_study.study([recipe], seeds, recipe.parent / "out", recipe.parent / "runs", run=run, **options)


def test_a_study_runs_each_seed_once(recipe: Path) -> None:
    run = Training()
    results = study(recipe, run, [1, 2], overrides=["--max_steps", "2"])
    assert [command[3:] for command in run.commands] == [
        [str(recipe), "--max_steps", "2", "--seed", seed, "--output_dir", f"{recipe.parent}/runs/un-sup-{seed}"]
        + ["--report_to", "none"]
        for seed in ("1", "2")
    ]
    assert run.befores == [None, {"name": "before", "dev": {"dev_spearman": 0.25}}]  # measured once
    assert [made["train_seconds"] for made in results["un-sup"]] == [10.0, 20.0]
    for seed in (1, 2):
        folder = recipe.parent / "runs" / f"un-sup-{seed}"
        assert (folder / "final").is_dir() and not (folder / "checkpoint-2").exists()
        text = (recipe.parent / "out" / f"un-sup-{seed}.json").read_text(encoding="utf-8")
        assert set(json.loads(text)) == set(simcse_study.KEPT)
        assert json.loads(text)["recipe"]["train_data"] == "${HF_CONTRASTIVE_DATA}/train.txt"
        assert str(recipe.parent) not in text and '"/' not in text


def test_a_study_goes_on_where_it_was_cut_off(recipe: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        study(recipe, Training(fail_at=2), [1, 2], keep=True)
    assert (recipe.parent / "runs" / "un-sup-1" / "checkpoint-2").is_dir()
    run = Training()
    results = study(recipe, run, [3, 2, 1])
    assert [command[command.index("--seed") + 1] for command in run.commands] == ["3", "2"]
    assert all(before is not None for before in run.befores)
    assert [made["train_seconds"] for made in results["un-sup"]] == [30.0, 20.0, 10.0]


def test_a_run_that_had_ended_is_not_run_again(recipe: Path) -> None:
    first = study(recipe, Training(), [1])
    written = recipe.parent / "out" / "un-sup-1.json"
    text = written.read_text(encoding="utf-8")
    written.unlink()
    run = Training()
    assert study(recipe, run, [1]) == first and run.commands == []
    assert written.read_text(encoding="utf-8") == text
    written.unlink()
    with pytest.raises(RecipeError, match=r"runs/un-sup-1/results.json .*differ in max_steps"):
        study(recipe, run, [1], overrides=["--max_steps", "9"])


def test_a_study_refuses_results_of_another_recipe_before_any_run(recipe: Path) -> None:
    study(recipe, Training(), [1])
    run = Training()
    with pytest.raises(RecipeError, match=r"un-sup-1.json .*differ in temperature \(not set -> 0.1\)"):
        study(recipe, run, [2, 1], overrides=["--temperature", "0.1"])
    assert run.commands == []


def test_cells_of_the_study() -> None:
    results = [{"after": {"dev": {"dev_spearman": value}, "sts": None}} for value in (0.5, 0.52)]
    assert simcse_study._cell(results, "after", ("dev", "dev_spearman")) == "51.00 ± 1.41"
    assert simcse_study._cell(results[:1], "after", ("dev", "dev_spearman")) == "50.00"
    assert simcse_study._cell(results, "after", ("sts", "average")) == "-"


def test_every_source_of_the_study_is_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    asked = []

    def study(recipes: list[Path], seeds: list[int], *_: Any, name: str, same_start: str) -> None:
        overrides = _[2]
        asked.append((name, seeds, simcse_study.load_recipe(recipes[0], overrides)))

    monkeypatch.setattr(negatives_study, "study", study)
    monkeypatch.setattr(negatives_study, "mined", lambda *_: ["--train_data", "mined.parquet"])
    for setting in negatives_study.SETTINGS:
        for source in negatives_study.SOURCES:
            negatives_study.run_one(setting, source, 43, "steps", tmp_path, [])
    assert len(asked) == 3 * len(negatives_study.SOURCES) - 1  # no mining where the data bring hard negatives
    names = {name: recipe for name, _, recipe in asked}
    assert [c["name"] for c in names["sup-ace_exact"].negatives.sampler_configs] == ["in_batch", "hard", "adversarial"]
    assert names["sup_pairs-queue"].data.column_mapping == {"anchor": "sent0", "positive": "sent1", "negatives": []}
    assert all(seeds == [43] for _, seeds, _ in asked)


def test_equal_time_means_fewer_steps_for_what_costs_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    monkeypatch.setattr(negatives_study, "RESULTS", tmp_path)
    summary = {"ace_exact_fresh": {"ratio": {"mean": 1.25}}, "queue": {"ratio": {"mean": 1.01}}}
    (tmp_path / "negatives_cost_cpu.json").write_text(json.dumps({"summary": summary}), encoding="utf-8")
    asked = {}
    monkeypatch.setattr(negatives_study, "study", lambda *given, name, same_start: asked.setdefault(name, given[4]))
    for source in ("ace_exact", "queue"):
        negatives_study.run_one("unsup", source, 42, "time", tmp_path, [])
    assert list(asked) == ["unsup-ace_exact-equal_time"]
    overrides = asked["unsup-ace_exact-equal_time"]
    assert overrides[overrides.index("--max_steps") + 1] == str(round(negatives_study.STEPS["unsup"] / 1.25))
