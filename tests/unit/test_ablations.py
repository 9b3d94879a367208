"""The study of SimCSE's ablations: rows are recipes and train, plain runs are shared, what cannot run is said."""

import gzip
import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import ablations
import negatives_study
import pytest
import simcse_study
from helpers import BERT_SIZES, save_tiny_checkpoint, tiny_tokenizer
from runs import sentence
from transformers import BertConfig, BertForMaskedLM

from hf_contrastive.errors import RecipeError
from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

ROWS = [(table, row) for table, rows in ablations.TABLES.items() for row in rows]
# One of each kind; the others differ in a number.
KINDS = {
    "augmentations": ("none", "crop_30", "synonym", "mlm_15", "next_sentence_3", "none_running_text", "two_encoders"),
    "dropout": ("0", "same_mask"),
    "poolers": ("unsup_cls_mlp_training", "sup_cls_mlp", "sup_avg"),
}
# In place of the budget, which 48 sentences would not fill.
SHORT = ["--max_steps", "2", "--eval_steps", "1", "--save_steps", "1", "--per_device_train_batch_size", "8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the recipes read, and a checkpoint that can predict hidden words."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(0)
    lines = [sentence(rng) for _ in range(48)]
    triplets = ["sent0\tsent1\thard_neg", *("\t".join(sentence(rng) for _ in range(3)) for _ in lines)]
    for name, text in {
        "sentences/wiki_en.txt.gz": lines,
        "words/brown.txt.gz": lines,
        "nli/triplets.tsv.gz": triplets,
        "wordnet/wn/synsets.tsv.gz": [
            "dog.n.01\t0\tdog,cat\tx",
            "car.n.01\t0\tcar,train\tx",
            "boy.n.01\t0\tboy,man\tx",
        ],
    }.items():
        (folder / name).parent.mkdir(parents=True)
        with gzip.open(folder / name, "wt", encoding="utf-8") as file:
            file.write("\n".join(text) + "\n")
    (folder / "sts").mkdir()
    pairs = [f"{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}" for _ in range(20)]
    for name in ("dev", "test"):
        text = "\n".join(["score\tsentence1\tsentence2", *pairs])
        (folder / "sts" / f"STSB-{name}.tsv").write_text(text, encoding="utf-8")
    BertForMaskedLM(BertConfig(**BERT_SIZES)).save_pretrained(folder / "checkpoint")
    tiny_tokenizer().save_pretrained(folder / "checkpoint")
    return folder


@pytest.fixture
def place(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for results and runs, which are made in this process."""
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(data))
    monkeypatch.setenv("HF_CONTRASTIVE_CHECKPOINT", str(data / "checkpoint"))
    monkeypatch.chdir(tmp_path)
    here = partial(simcse_study.study, run=lambda command: train(load_recipe(command[3], command[4:])))
    monkeypatch.setattr(ablations, "study", here)
    monkeypatch.setattr(negatives_study, "study", here)
    return tmp_path / "results" / "ablations"


@pytest.mark.parametrize(("table", "row"), [(table, row) for table, rows in KINDS.items() for row in rows])
def test_a_row_trains(table: str, row: str, place: Path) -> None:
    ablations.run_one(table, row, 42, place, [*SHORT, "--disable_tqdm", "true"])
    [path] = place.parent.glob("*/*.json")
    setting, recipe, _ = ablations.TABLES[table][row]
    shared = place.parent / "negatives_study" / f"{setting}-in_batch-42.json"
    assert path == (shared if recipe is None else place / f"{table}-{row}-42.json")
    made = json.loads(path.read_text(encoding="utf-8"))
    assert made["steps"] == 2 and made["after"]["sts"] is None
    assert -1 <= made["after"]["test"]["spearman"] <= 1 and "dev_spearman" in made["after"]["dev"]
    ablations.run_one(table, row, 42, place, SHORT)  # what is there is not run again, however it is watched


def test_rows_differ_from_the_plain_run_in_what_they_say(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(data))
    asked: dict[str, Any] = {}

    def study(recipes: list[Path], seeds: list[int], *given: Any, name: str, same_start: str) -> None:
        asked[name] = load_recipe(recipes[0], given[2]).text

    monkeypatch.setattr(ablations, "study", study)
    monkeypatch.setattr(negatives_study, "study", study)
    for table, row in ROWS:
        ablations.run_one(table, row, 42, Path("results/ablations"), [])
    own = {"output_dir", "negatives"}
    for table, row in ROWS:
        setting, recipe, overrides = ablations.TABLES[table][row]
        if recipe is not None:
            text, plain = asked[f"{table}-{row}"], asked[f"{setting}-in_batch"]
            changed = {key for key in text.keys() | plain.keys() if text.get(key) != plain.get(key)} - own
            allowed = {key.removeprefix("--") for key in overrides[::2]} | {"dropout", "same_dropout_mask"}
            assert changed <= allowed | ({"train_data"} if "running" in row or "next" in row else set()), row
            assert text["max_steps"] == str(negatives_study.STEPS[setting]) and text["final_evaluation"] == ""
    assert asked["dropout-0.01"]["dropout"] == "0.01" and asked["dropout-same_mask"]["same_dropout_mask"] == "true"
    assert asked["poolers-sup_cls_mlp_training"]["head"] == "train_only"


def test_what_cannot_be_run_is_left_out_aloud_or_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, str, int]] = []
    monkeypatch.setattr(ablations, "run_one", lambda table, row, seed, *_: ran.append((table, row, seed)))

    def run(**options: Any) -> None:
        given = {"tables": None, "rows": None, "seeds": None, "output": place} | options
        ablations.main(type("Context", (), {"args": ["--max_steps", "2"]})(), **given)  # type: ignore[arg-type]

    run(seeds=[42, 43])
    assert ran == [(*pair, seed) for seed in (42, 43) for pair in ROWS]
    monkeypatch.setenv("HF_CONTRASTIVE_CHECKPOINT", str(save_tiny_checkpoint(place.parent / "without", "distilbert")))
    ran.clear()
    run(tables=["augmentations"])
    assert ("augmentations", "mlm_15", 42) not in ran and len(ran) == len(ablations.TABLES["augmentations"]) - 1
    assert "mlm_15 is left out" in capsys.readouterr().err
    for options, message in (
        ({"rows": ["mlm_15"]}, "no masked-language-model head"),
        ({"tables": ["dropouts"]}, "--tables: unknown table 'dropouts'; choose from augmentations"),
        ({"tables": ["dropout"], "rows": ["crop_10"]}, "--rows: unknown row 'crop_10'; choose from 0, 0.01"),
    ):
        with pytest.raises(RecipeError, match=message):
            run(**options)
