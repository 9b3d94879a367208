"""Model cards: of real tiny runs of every task, and of results that are made up."""

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import refused
from commands import run as command
from graph_runs import make_graph_run, make_order_run
from helpers import save_tiny_checkpoint
from huggingface_hub import ModelCard, parse_eval_result_entries
from runs import make_run, run_recipe
from word_runs import make_word_run

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.hub import write_card
from hf_contrastive.hub.pictures import ALIGNMENT, TRAINING
from hf_contrastive.hub.usage import PLACE
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import load_recipe
from hf_contrastive.tasks.runs import thinned

SECTIONS = ["How to use it", "Results", "How it was trained", "Limits", "Citations"]
MAKE = {"sentences": make_run, "words": make_word_run, "graph": make_graph_run, "hypernymy": make_order_run}
TEXTS = ["A man plays the guitar.", "Someone makes music."]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {task: make(folder / task) for task, make in MAKE.items()}
    for run in made.values():
        run_recipe(run)
    return made


def card_of(run: Path) -> str:
    return (run / "out/final/README.md").read_text(encoding="utf-8")


def blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", card, re.DOTALL)


def execute(code: str, folder: Path) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code.replace(PLACE, str(folder)), "card", "exec"), names)
    return names


@pytest.mark.parametrize("task", MAKE)
def test_every_task_leaves_a_card_whose_code_runs_and_which_names_nothing_of_this_machine(
    runs: dict[str, Path], task: str
) -> None:
    folder, card = runs[task] / "out/final", card_of(runs[task])
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == SECTIONS
    meta = ModelCard(card).data
    assert meta.library_name in ("sentence-transformers", "hf_contrastive") and meta.pipeline_tag
    assert "contrastive-learning" in meta.tags and meta.eval_results
    for code in blocks(card, "python"):
        execute(code, folder)
    found = json.loads((runs[task] / "out/results.json").read_text(encoding="utf-8"))
    shown = "Loss and validation figure" if found["losses"] else "Validation figure"
    assert f"![{shown} over the steps of training]({TRAINING})" in card
    assert (folder / ALIGNMENT).is_file() == (task == "sentences")
    assert str(runs[task]) not in card and str(Path.home()) + "/" not in card and "/tmp" not in card


@pytest.mark.parametrize("task", MAKE)
def test_the_printed_recipe_is_the_recipe(runs: dict[str, Path], tmp_path: Path, task: str) -> None:
    (printed,) = blocks(card_of(runs[task]), "yaml")
    (tmp_path / "recipe.yaml").write_text(printed + "\n", encoding="utf-8")
    again = load_recipe(tmp_path / "recipe.yaml").text
    given = json.loads((runs[task] / "out/results.json").read_text(encoding="utf-8"))["recipe"]
    left_out = {"output_dir", "report_to", "disable_tqdm", "cache_dir"}
    assert given.keys() - again.keys() == left_out & given.keys()
    assert all(value in (given[key], Path(given[key]).name) for key, value in again.items())


POOLERS = [("cls", "none"), ("cls", "kept"), ("avg", "none"), ("avg_top2", "none"), ("avg_first_last", "none")]


@pytest.mark.parametrize(("pooler", "head"), [*POOLERS, ("last", "none")])
def test_the_torch_code_of_a_card_gives_the_vectors_of_the_encoder(tmp_path: Path, pooler: str, head: str) -> None:
    torch.manual_seed(1)
    checkpoint = save_tiny_checkpoint(tmp_path / "checkpoint", "llama" if pooler == "last" else "bert")
    encoder = SentenceEncoder.from_pretrained(str(checkpoint), pooler=pooler, head=head)
    encoder.project(torch.randn(7, 32), torch.randn(7))
    encoder.normalize = pooler == "avg"
    encoder.save_pretrained(tmp_path / "final")
    write_card(tmp_path / "final", made_up({"pooler": pooler, "head": head}))
    of_torch = blocks((tmp_path / "final/README.md").read_text(encoding="utf-8"), "python")[1]
    torch.testing.assert_close(execute(of_torch, tmp_path / "final")["vectors"], encoder.encode(TEXTS))


def test_the_torch_code_of_a_t5_card_loads_the_encoder_alone(tmp_path: Path) -> None:
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "checkpoint", "t5")))
    encoder.save_pretrained(tmp_path / "final")
    write_card(tmp_path / "final", made_up({}))
    of_torch = blocks((tmp_path / "final/README.md").read_text(encoding="utf-8"), "python")[1]
    torch.testing.assert_close(execute(of_torch, tmp_path / "final")["vectors"], encoder.encode(TEXTS))


def test_a_card_written_again_has_the_same_bytes(runs: dict[str, Path]) -> None:
    final = runs["sentences"] / "out/final"
    before = {path: path.read_bytes() for path in final.rglob("*") if path.is_file()}
    command("card", runs["sentences"] / "out")
    assert {path: path.read_bytes() for path in final.rglob("*") if path.is_file()} == before


def made_up(recipe: dict[str, str], spearman: float = 0.75, **more: Any) -> dict[str, Any]:
    names = ("STS12", "STSBenchmark", "SICKRelatedness")
    sts = {name: {"spearman": spearman + place / 100, "comparable": True} for place, name in enumerate(names)}
    return {
        "before": {"name": "before training, pooler avg", "dev": {"dev_spearman": 0.25}, "sts": None},
        "after": {
            "name": "after training, pooler avg",
            "dev": {"dev_spearman": spearman},
            "sts": {"scores": sts, "average": spearman + 0.01, "not_comparable": []},
        },
        "steps": 1200,
        "train_seconds": 61.0,
        "recipe": {
            "train_data": "/data/wiki.txt",
            "model_name_or_path": "some/base",
            "negatives": "in_batch",
            **recipe,
        },
        "environment": {
            "cpu": "Some CPU",
            "cores": 2,
            "gpus": [],
            "torch": "2",
            "transformers": "5",
            "python": "3",
            "hf_contrastive": "0",
        },
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "checkpoint")))
    encoder.save_pretrained(tmp_path / "out/final")
    return tmp_path / "out/final"


def front_matter(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])


def test_front_matter_says_what_the_recipe_says(folder: Path) -> None:
    recipe = {
        "card_license": "apache-2.0",
        "card_language": "en ja",
        "card_datasets": "owner/data",
        "card_tags": "mine",
        "negatives": "[in_batch, {name: mixture, lambda: 0.5, parts: [uniform, {name: adversarial, k: 4}]}]",
    }
    path = write_card(folder, made_up(recipe))
    meta = front_matter(path)
    assert (meta["license"], meta["language"], meta["base_model"]) == ("apache-2.0", ["en", "ja"], "some/base")
    assert meta["datasets"] == ["owner/data"]
    assert {"mine", "in_batch", "mixture", "uniform", "adversarial"} < set(meta["tags"])
    assert "bose-etal-2018-adversarial" in path.read_text(encoding="utf-8")
    assert [r["metrics"][0]["value"] for r in meta["model-index"][0]["results"]] == [0.75, 0.75, 0.76, 0.77, 0.76]
    of_sts12 = meta["model-index"][0]["results"][1]
    assert of_sts12["dataset"] == {"name": "STS12", "type": "mteb/sts12-sts", "split": "test"}
    assert front_matter(write_card(folder, made_up({"train_data": "owner/corpus"})))["datasets"] == ["owner/corpus"]


def test_benchmarks_of_the_hub_get_their_figures_and_nothing_else_does(folder: Path) -> None:
    write_card(folder, made_up({}))
    content = yaml.safe_load((folder / ".eval_results/test.yaml").read_text(encoding="utf-8"))
    entries = {entry.dataset_id: entry.value for entry in parse_eval_result_entries(content)}
    assert entries == {"mteb/sts12-sts": 0.75, "mteb/stsbenchmark-sts": 0.76}
    results = made_up({})
    for score in results["after"]["sts"]["scores"].values():
        score["comparable"] = False
    write_card(folder, results)
    assert not (folder / ".eval_results/test.yaml").exists()


def test_several_seeds_give_mean_and_deviation(folder: Path) -> None:
    values = [0.75, 0.77, 0.70]
    first, *others = (
        made_up({"seed": str(seed)}, value, train_seconds=seed + 19.0)
        for seed, value in zip((42, 43, 44), values, strict=True)
    )
    card = write_card(folder, first, others).read_text(encoding="utf-8")
    wanted = f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f}"
    assert f"| STS12 | test | Spearman, cosine | - | {wanted} |" in card
    assert "over seeds 42, 43, 44; weights and recipe are those of seed 42" in card
    assert "1,200 optimizer steps and 62 ± 1 seconds on Some CPU, 2 cores." in card
    assert front_matter(folder / "README.md")["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.75
    with pytest.raises(CheckpointError, match="differ in seed alone; these differ in seed, temperature"):
        write_card(folder, first, [made_up({"seed": "43", "temperature": "0.1"})])
    with pytest.raises(CheckpointError, match="have seed 43 twice"):
        write_card(folder, first, [others[0], others[0]])


def test_a_recipe_without_a_seed_has_the_seed_that_training_takes(folder: Path) -> None:
    unsaid, said, other = made_up({}), made_up({"seed": "42"}), made_up({"seed": "43"})
    for first, second in ((unsaid, other), (other, unsaid)):
        card = write_card(folder, first, [second]).read_text(encoding="utf-8")
        assert "over seeds 42, 43;" in card or "over seeds 43, 42;" in card
    for first, second in ((unsaid, said), (said, unsaid), (unsaid, unsaid)):
        with pytest.raises(CheckpointError, match="these are of the same recipe and seed"):
            write_card(folder, first, [second])
    with pytest.raises(CheckpointError, match="have seed 42 twice"):
        write_card(folder, other, [said, unsaid])


def test_the_command_card_reads_runs_and_refuses_what_is_none(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("out", "1"), ("other", "2")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "results.json").write_text(json.dumps(made_up({"seed": seed}, 0.7)), encoding="utf-8")
    assert "final/README.md" in command("card", tmp_path / "out", "--with", tmp_path / "other").replace("\n", "")
    assert "over seeds 1, 2" in (folder / "README.md").read_text(encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert "no such file" in said_by("card", tmp_path / "empty")
    (tmp_path / "empty/results.json").write_text("{}", encoding="utf-8")
    assert "no key after" in said_by("card", tmp_path / "empty")
    (tmp_path / "empty/results.json").write_text("{", encoding="utf-8")
    assert "not JSON" in said_by("card", tmp_path / "empty")


def said_by(*arguments: object) -> str:
    from typer.testing import CliRunner

    from hf_contrastive.cli import app

    refused(*arguments)
    return str(CliRunner().invoke(app, [str(argument) for argument in arguments]).exception)


def test_paths_and_names_of_this_machine_stay_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", "/srv/shared/data")
    recipe = {
        "model_name_or_path": "/home/alice/models/my checkpoint",
        "train_data": "/srv/shared/data/wiki.txt",
        "dev_data": "~alice/pairs.tsv",
        "test_data": "../alice/test.tsv",
        "augmentation": "{name: synonyms, folder: /home/alice/wordnet}",
        "output_dir": "/home/alice/runs/mine",
        "hub_model_id": "alice/mine",
        "cache_dir": "/home/alice/.cache",
    }
    path = write_card(folder, made_up(recipe))
    card = path.read_text(encoding="utf-8")
    assert "alice" not in card and "/home" not in card and "/srv" not in card
    assert "train_data: ${HF_CONTRASTIVE_DATA}/wiki.txt" in card and "folder: wordnet}" in card
    assert "# mine" in card and "base_model" not in front_matter(path)


def test_a_card_that_is_not_fit_is_refused(folder: Path) -> None:
    from hf_contrastive.hub.validate import validate_card

    good = write_card(folder, made_up({})).read_text(encoding="utf-8")
    validate_card(good, folder)
    for bad, message in (
        (good.replace("---\n", "", 1), "no front matter"),
        (good.replace("pipeline_tag: sentence-similarity\n", ""), "no pipeline_tag"),
        (good.replace("value: 0.76", "value: high"), "no number"),
        (good.replace("tags:", "tags: ["), "cannot be read"),
        (good + "![picture](missing.png)\n", "shows missing.png, which is not there"),
        (good + "hf_" + "a" * 34, "Hub token"),
        (good + str(folder.resolve()), "of this machine"),
        (good + "/Users/alice/x", "/Users/alice"),
    ):
        with pytest.raises(CheckpointError, match=re.escape(message)):
            validate_card(bad, folder)
    with pytest.raises(CheckpointError, match="no config.json"):
        write_card(folder.parent, made_up({}))


def test_without_matplotlib_there_are_no_pictures(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    final = runs["words"] / "out/final"
    results = json.loads((runs["words"] / "out/results.json").read_text(encoding="utf-8"))
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        write_card(final, results)
    assert not (final / TRAINING).exists() and "![" not in card_of(runs["words"])
    write_card(final, results)
    assert (final / TRAINING).is_file()


def test_the_command_and_the_machine_are_those_of_the_run(folder: Path) -> None:
    launch = {"use_fsdp": True, "fsdp_version": 2}
    several = made_up({"use_cpu": "true"}, processes=4, launch=launch)
    several["environment"] |= {"gpus": ["Some GPU"], "datasets": "4.1", "accelerate": "1.10", "peft": "0.17"}
    card = write_card(folder, several).read_text(encoding="utf-8")
    assert "accelerate launch --num_processes 4 --use_fsdp --fsdp_version 2 -m hf_contrastive.train" in card
    assert "on Some CPU, 2 cores, 4 processes." in card and "Some GPU" not in card
    assert "transformers 5, datasets 4.1, accelerate 1.10, peft 0.17, python 3." in card
    several["recipe"]["use_cpu"] = "false"
    assert "on Some GPU, 4 processes." in write_card(folder, several).read_text(encoding="utf-8")


def test_a_picture_is_called_what_it_shows(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    curve = [{"step": 1, "eval_mrr": 0.5}]
    for losses, points, about in (([[1, 2.0]], [], "Loss"), ([], curve, "Validation figure")):
        card = write_card(folder, made_up({}, losses=losses, curve=points)).read_text(encoding="utf-8")
        assert f"![{about} over the steps of training]({TRAINING})" in card


def test_a_finished_run_takes_other_words_for_its_card(runs: dict[str, Path]) -> None:
    run_recipe(runs["graph"], "--card_license", "other", "--card_language", "en")
    assert front_matter(runs["graph"] / "out/final/README.md")["license"] == "other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (["--card_license", "My Licence"], "card_license: 'My Licence' is no licence of the Hub"),
        (
            ["--card_license", "apache2"],
            "card_license: 'apache2' is no licence of the Hub; did you mean 'apache-2.0'?",
        ),
        (["--card_language", "English"], "card_language: 'English' is no language code"),
        (["--card_datasets", "a/b/c"], "card_datasets: 'a/b/c' is no name on the Hub"),
        (["--hub_token", "hf_secret"], "hub_token would be written into recipe.json and results.json"),
    ],
)
def test_what_a_card_cannot_say_is_refused_with_the_recipe(
    runs: dict[str, Path], override: list[str], message: str
) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)) as refusal:
        load_recipe(runs["words"] / "recipe.yaml", override)
    assert "hf_secret" not in str(refusal.value)


@pytest.mark.parametrize("count", [0, 1, 200, 201, 399, 1000])
def test_curves_are_thinned_to_their_ends(count: int) -> None:
    points = [[float(step), 1.0] for step in range(count)]
    kept = thinned(points)
    assert len(kept) <= 201 and kept[:1] == points[:1] and kept[-1:] == points[-1:]
    assert len({after[0] - before[0] for before, after in zip(kept[:-1], kept[1:-1], strict=False)}) <= 1
