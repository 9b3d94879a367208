"""Write model_cards/ from what the benchmarks measured: a card for each model that its recipes and studies trained.

    python scripts/model_cards.py            write
    python scripts/model_cards.py --check    change nothing; exit 1 where a card is out of date or its JSON is missing

The cards are those of `hf-contrastive card`, over all seeds that were run. Nothing in the folder is written by hand.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from table_cells import Runs, markdown, mean_sd

from hf_contrastive.errors import CheckpointError
from hf_contrastive.hub import write_card
from hf_contrastive.hub.recipe_text import settings
from hf_contrastive.hub.scores import Row, rows
from hf_contrastive.hub.usage import PLACE
from hf_contrastive.models.module_files import write_layout

ROOT = Path(__file__).resolve().parents[1]
MODELS = {  # folder of benchmarks/results, and name of its files without the seed
    "sup-distilbert": ("simcse_distilbert", "sup-distilbert"),
    "unsup-distilbert": ("simcse_distilbert", "unsup-distilbert"),
    "unsup-distilbert-ace": ("negatives_study", "unsup-ace_exact"),
    "unsup-distilbert-self-adversarial": ("negatives_study", "unsup-self_adversarial"),
    "skip-gram": ("words_study", "negative_sampling"),
    "skip-gram-ace": ("words_study", "ace"),
    "wn18rr-complex": ("recipes", "kg-wn18rr-complex"),
    "fb15k237-distmult": ("recipes", "kg-fb15k237-distmult"),
    "wordnet-order": ("recipes", "hypernymy-wordnet"),
}
SAID = {"card_language": "en", "card_license": "apache-2.0"}  # what no run measures
BASE = {"card_base_model": "distilbert/distilbert-base-cased"}
RECOVERED = (
    "The checkpoint behind `HF_CONTRASTIVE_CHECKPOINT` was the body of distilbert-base-cased recovered from an int8 "
    "tagger, not the original weights."
)
DATA = {  # what the files are, by their names in recipes
    "wiki_en.txt.gz": "sentences of English Wikipedia",
    "triplets.tsv.gz": "SNLI and MultiNLI as triplets, in SimCSE's layout",
    "novels.txt.gz": "English novels",
    "brown.txt.gz": "the Brown corpus",
    "WN18RR": "the knowledge graph WN18RR",
    "FB15k-237": "the knowledge graph FB15k-237",
    "wn30": "noun hypernyms of WordNet 3.0",
}
DISTILBERT = {"config": {"architectures": ["DistilBertModel"]}, "width": 768, "num_layers": 6}
ABOUT = """\
# Models that recipes and studies of this repository trained

Cards without weights: made by `python scripts/model_cards.py` from `benchmarks/results`, none by hand. Some are of the
recipes in [recipes/](../recipes), some of variants that a study trained for fewer steps; each card has its own recipe.
Save it as recipe.yaml, and

```bash
HF_CONTRASTIVE_DATA=FOLDER HF_CONTRASTIVE_CHECKPOINT=FOLDER hf-contrastive train recipe.yaml --output_dir runs/NAME
```

trains the model that its code loads. The checkpoint behind sentence models was the body of distilbert-base-cased
recovered from an int8 tagger, not the original weights.

"""


class ModelCardError(Exception):
    """A card that cannot be made; the message names file and remedy."""


def main(
    check: Annotated[bool, typer.Option("--check", help="Change nothing, exit 1 if anything would.")] = False,
) -> None:
    """Write model_cards/ from benchmarks/results."""
    try:
        stale = update(ROOT, write=not check)
    except (ModelCardError, CheckpointError) as error:
        raise SystemExit(f"error: {error}") from error
    if stale and check:
        raise SystemExit(f"error: {', '.join(stale)}: out of date; run `python scripts/model_cards.py`")


def update(root: Path, write: bool) -> list[str]:
    """Files of model_cards/ under `root` that are not what the results say; the folder is made anew if `write`.

    Pictures are compared by their names: another matplotlib draws other bytes.
    """
    target = root / "model_cards"
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        lines = [_make(name, root / "benchmarks" / "results", made) for name in MODELS]
        table = markdown(["", "result", "value", "seeds", "steps", "seconds of training"], lines)
        (made / "README.md").write_text(f"{ABOUT}{table}", encoding="utf-8")
        wanted, found = _contents(made), _contents(target)
        stale = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        if write and stale:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(made, target)
    return [f"model_cards/{name}" for name in stale]


def read(folder: Path, runs: str, name: str) -> Runs:
    """Results of all seeds, the least first."""
    paths = sorted(folder.glob(f"{runs}-[0-9]*.json"), key=lambda path: int(path.stem.rpartition("-")[2]))
    if not paths:
        raise ModelCardError(
            f"{name}: made from {folder / runs}-SEED.json, which is missing; see benchmarks/README.md"
        )
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _make(name: str, results: Path, target: Path) -> list[str]:
    """Write the card of a model; returns its line in the table of all."""
    source, files = MODELS[name]
    runs = read(results / source, files, name)
    for run in runs:
        is_sentences = run["recipe"].get("task", "sentences") == "sentences"
        run["recipe"] |= {**SAID, **(BASE if is_sentences else {}), "output_dir": f"runs/{name}"}
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary)
        _lay_out(model, runs[0]["recipe"])
        write_card(model, runs[0], runs[1:])
        (target / name).mkdir()
        card = (model / "README.md").read_text(encoding="utf-8").replace(PLACE, f"runs/{name}/final")
        card = _with_origins(card, source, runs[0]["recipe"])
        (target / name / "README.md").write_text(card, encoding="utf-8")
        for picture in model.glob("*.png"):
            shutil.copy(picture, target / name)
        if (model / ".eval_results").is_dir():
            shutil.copytree(model / ".eval_results", target / name / ".eval_results")
    row = _headline(rows(runs))
    seconds = mean_sd([run["train_seconds"] for run in runs], 0)
    what = f"{row.score.name}, {row.score.label}"
    return [f"[{name}]({name}/README.md)", what, row.cell(), str(len(runs)), f"{runs[0]['steps']:,}", seconds]


def _with_origins(card: str, source: str, recipe: dict[str, str]) -> str:
    """The card with what stands behind the names of its files, and whether a recipe or a study trained the model."""
    files = [part.rstrip("/").rpartition("/")[2] for part in recipe["train_data"].split(",")]
    said = [f"{file} is {DATA[file]}." for file in files]
    if recipe.get("task", "sentences") == "sentences":
        said.append(RECOVERED)
    if source.endswith("_study"):
        said.append(f"A study of this repository trained it (`benchmarks/{source}.py`), with the settings below.")
    return card.replace("\n## How to use it\n", "\n" + "\n".join(said) + "\n\n## How to use it\n", 1)


def _lay_out(folder: Path, recipe: dict[str, str]) -> None:
    """What a card reads of the model folder that the recipe leaves."""
    config: dict[str, Any] = {}
    if recipe.get("task", "sentences") == "sentences":
        config = dict(DISTILBERT["config"])
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if config:
        values = settings(recipe)
        if values["head"] == "kept":
            raise ModelCardError(f"{recipe['output_dir']}: a head that is kept has weights, which no results hold")
        pooler = values["eval_pooler"] or values["pooler"]
        length = int(values["eval_max_length"])
        write_layout(folder, pooler, DISTILBERT["width"], DISTILBERT["num_layers"], max_length=length)


def _headline(measured: list[Row]) -> Row:
    """The average of the STS tasks, else the first figure of a test set."""
    return next(
        (row for row in measured if row.score.name == "sts average"),
        next(row for row in measured if row.score.split == "test"),
    )


def _contents(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: b"" if path.suffix == ".png" else path.read_bytes() for name, path in files.items()}


if __name__ == "__main__":
    typer.run(main)
