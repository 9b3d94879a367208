"""What `look` measures against loops over the pairs; runs, names, the page and what is refused."""

import base64
import importlib.util
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import make_run, run_recipe, sentence
from scipy.stats import spearmanr
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.errors import CheckpointError, DataError, RecipeError
from hf_contrastive.evaluation.pairs import ScoredPairs
from hf_contrastive.look import look
from hf_contrastive.look.measure import check_pairs, map_rows, measure, score_groups
from hf_contrastive.look.subjects import find_subjects, load_weights, run_encoder, short_names
from hf_contrastive.models import SentenceEncoder

PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = ["alignment-uniformity.png", "cosines.png", "map.png", "spectrum.png"]


def some_pairs(rows: int = 30) -> ScoredPairs:
    rng = random.Random(0)
    texts = [sentence(rng) for _ in range(2 * rows - 3)]
    left, right = texts[:rows], [*texts[rows:], *texts[:3]]  # some sentences occur twice
    return ScoredPairs(
        np.array([5 * row / (rows - 1) for row in range(rows)]), left, right, ["a/x", "b"] * (rows // 2)
    )


def table(pairs: ScoredPairs, width: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {text: rng.normal(size=width) + 1 for text in [*pairs.sentence1, *pairs.sentence2, "query"]}


@pytest.fixture(scope="module")
def figures_and_vectors():
    pairs = some_pairs()
    vectors = table(pairs)

    def encode(texts: list[str]) -> torch.Tensor:
        return torch.tensor(np.stack([vectors[text] for text in texts]), dtype=torch.float32)

    asked = ["query", pairs.sentence1[0]]
    return measure(encode, pairs, "label", "model", asked, k=4), pairs, vectors


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_figures_are_those_of_a_loop(figures_and_vectors) -> None:
    found, pairs, vectors = figures_and_vectors
    both = list(zip(pairs.sentence1, pairs.sentence2, pairs.scores, strict=True))
    cosines = [float(unit(vectors[a]) @ unit(vectors[b])) for a, b, _ in both]
    assert found.spearman == pytest.approx(spearmanr(cosines, pairs.scores).statistic)
    close = [np.sum((unit(vectors[a]) - unit(vectors[b])) ** 2) for a, b, score in both if score > 4]
    assert found.alignment == pytest.approx(np.mean(close), abs=1e-6)
    texts = list(dict.fromkeys(pairs.sentence1 + pairs.sentence2))
    assert len(texts) == 57
    rows = np.stack([unit(vectors[text]) for text in texts])
    others = [float(rows[i] @ rows[j]) for i in range(57) for j in range(i)]
    assert found.mean_cosine == pytest.approx(np.mean(others), abs=1e-6)
    assert found.uniformity == pytest.approx(np.log(np.mean([np.exp(-2 * (2 - 2 * c)) for c in others])), abs=1e-5)
    values = np.linalg.svd(rows, compute_uv=False)
    np.testing.assert_allclose(found.spectrum, values / values[0], atol=1e-6)
    shares = values / values.sum()
    assert found.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), abs=1e-5)
    assert found.dimension == 6


def test_histograms_count_every_pair_in_its_group(figures_and_vectors) -> None:
    found, pairs, vectors = figures_and_vectors
    groups, names = score_groups(pairs)
    assert names == ["0 to 1", "1 to 2", "2 to 3", "3 to 4", "4 to 5"]
    assert groups.tolist() == [min(int(score), 4) for score in pairs.scores]
    edges = found.edges
    for group in range(5):
        cosines = [
            float(unit(vectors[a]) @ unit(vectors[b]))
            for a, b, g in zip(pairs.sentence1, pairs.sentence2, groups, strict=True)
            if g == group
        ]
        expected = [sum(low <= c < high for c in cosines) for low, high in zip(edges, edges[1:], strict=False)]
        assert found.histograms[group] == expected and sum(expected) == 6
    assert edges[-1] == 1 and edges[0] <= 0


def test_nearest_sentences_leave_the_query_out(figures_and_vectors) -> None:
    found, pairs, vectors = figures_and_vectors
    texts = dict.fromkeys(pairs.sentence1 + pairs.sentence2)
    for query in ("query", pairs.sentence1[0]):
        ranked = sorted(
            ((float(unit(vectors[t]) @ unit(vectors[query])), t) for t in texts if t != query), reverse=True
        )
        assert [text for text, _ in found.nearest[query]] == [text for _, text in ranked[:4]]
        assert [cosine for _, cosine in found.nearest[query]] == pytest.approx([c for c, _ in ranked[:4]], abs=1e-6)


def test_the_map_is_the_two_widest_directions(figures_and_vectors) -> None:
    found, pairs, vectors = figures_and_vectors
    texts = list(dict.fromkeys(pairs.sentence1 + pairs.sentence2))
    rows = np.stack([unit(vectors[text]) for text in texts])
    u, s, vt = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    assert found.shares == pytest.approx((s[:2] ** 2 / (s**2).sum()).tolist(), abs=1e-6)
    where = [texts.index(pairs.sentence1[row]) for row in map_rows(pairs)]
    where += [texts.index(pairs.sentence2[row]) for row in map_rows(pairs)]
    np.testing.assert_allclose(np.abs(found.points), np.abs((u * s)[where, :2]), atol=1e-4)


def test_the_map_shows_two_hundred_pairs_from_everywhere() -> None:
    pairs = ScoredPairs(np.arange(1000.0), ["a"] * 1000, ["b"] * 1000, [""] * 1000)
    rows = map_rows(pairs)
    assert len(rows) == 200 and rows[0] == 0 and rows[-1] == 999 and set(np.diff(rows)) <= {5, 6}


def test_tsne_gives_each_sentence_one_place() -> None:
    pairs = some_pairs()
    vectors = table(pairs)
    found = measure(
        lambda texts: torch.tensor(np.stack([vectors[text] for text in texts])), pairs, "l", "m", [], map_by="tsne"
    )
    points = np.array(found.points)
    assert points.shape == (60, 2) and found.shares == [] and np.isfinite(points).all()
    assert (points[57:] == points[:3]).all() and len(np.unique(points, axis=0)) == 57


def test_vectors_that_are_all_zero_are_a_checkpoints_fault() -> None:
    with pytest.raises(CheckpointError, match="dead: its vector of every sentence of the pairs is zero"):
        measure(lambda texts: torch.zeros(len(texts), 4), some_pairs(), "dead", "model", [])


def test_pairs_without_paraphrases_are_refused() -> None:
    pairs = ScoredPairs(np.array([0.0, 1.0, 5.0]), ["a"] * 3, ["b"] * 3, [""] * 3)
    with pytest.raises(DataError, match="dev.tsv: 1 of 3 pairs score above 4/5"):
        check_pairs(pairs, "dev.tsv")


@pytest.mark.parametrize(
    "models, names",
    [
        (["runs/a/final", "runs/b/final"], ["a", "b"]),
        (["x/a/final", "y/a/final", "bert-base"], ["x/a", "y/a", "bert-base"]),
        (["/models/final", "org/name"], ["models", "name"]),
        (["final"], ["final"]),
    ],
)
def test_names_are_as_short_as_tells_apart(models: list[str], names: list[str]) -> None:
    assert short_names(models) == names


# --- runs ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("look") / "mine", pooler="cls", head="train_only")
    run_recipe(folder, "--eval_pooler", "cls_before_pooler")
    return folder


def test_checkpoints_of_a_run_hold_the_encoder_that_was_published(run: Path) -> None:
    (subject,) = find_subjects([str(run / "out")])
    assert [step for step, _ in subject.checkpoints] == [4, 8, 12] and subject.published == str(run / "out" / "final")
    results = json.loads((run / "out" / "results.json").read_text())
    encoder = run_encoder(run / "out")
    before = encoder.encode(["two dogs run"])
    load_weights(encoder, run / "out" / f"checkpoint-{results['best_step']}")
    final = SentenceEncoder.from_pretrained(str(run / "out" / "final"))
    assert torch.equal(encoder.encode(["two dogs run"]), final.encode(["two dogs run"]))
    assert not torch.equal(encoder.encode(["two dogs run"]), before)


def test_runs_that_cannot_be_looked_at(run: Path, tmp_path: Path) -> None:
    for folder in ("empty", "words", "bare"):
        (tmp_path / folder).mkdir()
    (tmp_path / "empty" / "recipe.json").write_text("{}")
    (tmp_path / "words" / "recipe.json").write_text('{"task": "words"}')
    (tmp_path / "bare" / "checkpoint-3").mkdir()
    (tmp_path / "bare" / "checkpoint-3" / "trainer_state.json").write_text("{}")
    for folder, message in (("empty", "without a checkpoint so far"), ("words", "run of task words")):
        with pytest.raises(CheckpointError, match=message):
            find_subjects([str(tmp_path / folder)])
    with pytest.raises(CheckpointError, match=r"recipe\.json: cannot be read .*name the published model"):
        run_encoder(tmp_path / "bare")
    for damaged in ('{"task": "wo', "[]"):
        (tmp_path / "empty" / "recipe.json").write_text(damaged)
        with pytest.raises(CheckpointError, match=r"recipe\.json: cannot be read .*name the published model"):
            find_subjects([str(tmp_path / "empty")])
    with pytest.raises(CheckpointError, match=r"no model\.safetensors .*final folder"):
        load_weights(run_encoder(run / "out"), tmp_path / "bare" / "checkpoint-3")
    torch.manual_seed(0)
    other = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "other", num_hidden_layers=2)))
    with pytest.raises(CheckpointError, match="does not fit the model of"):
        load_weights(other, run / "out" / "checkpoint-4")


def test_labels_are_one_for_each_model(run: Path) -> None:
    with pytest.raises(RecipeError, match="2 labels for 1 models"):
        find_subjects(["a"], ["x", "y"])
    with pytest.raises(RecipeError, match="'x' is the name of two models"):
        find_subjects(["a", "b"], ["x", "x"])
    assert [s.label for s in find_subjects(["a", str(run / "out")], ["x", "y"])] == ["x", "y"]


# --- the command ---


class Page(HTMLParser):
    """Pictures, cells and whatever would ask the network."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images, self.links, self.cells = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        named = dict(attrs)
        if tag == "img":
            self.images.append(named["src"])
        elif tag in ("script", "link", "iframe") or named.get("src") or named.get("href"):
            self.links.append(tag)

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


def test_look_writes_pictures_figures_and_a_page(run: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    base = save_tiny_checkpoint(tmp_path / "base <i>$x$ & y")
    query = "a <b>man</b> & two dogs"
    given = ["look", base, run / "out", "--output", tmp_path / "seen", "--pairs", run / "dev.tsv", "--device", "cpu"]
    done = CliRunner().invoke(app, [*map(str, given), "--query", query, "--k", "3"], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output + str(done.exception)
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == sorted([*PICTURES, "look.html", "look.json"])
    saved = json.loads((tmp_path / "seen" / "look.json").read_text())
    first, second = saved["models"]
    dev = json.loads((run / "out" / "results.json").read_text())["after"]["dev"]
    for name in ("spearman", "alignment", "uniformity"):
        assert second[name] == pytest.approx(dev[f"dev_{name}"], abs=1e-6)
    assert [point["step"] for point in second["path"]] == [4, 8, 12] and first["path"] == []
    best = json.loads((run / "out" / "results.json").read_text())["best_step"]
    assert next(p for p in second["path"] if p["step"] == best)["spearman"] == pytest.approx(second["spearman"])
    assert saved["pairs"]["pairs"] == 40 and saved["environment"]["torch"] == str(torch.__version__)
    assert len(first["nearest"][query]) == 3 and query in done.output
    assert f"{100 * second['spearman']:.2f}" in done.output

    text = (tmp_path / "seen" / "look.html").read_text(encoding="utf-8")
    page = Page(text)
    bare = re.sub(r'src="data:[^"]*"|http-equiv', "", text)
    assert page.links == [] and "http" not in bare and "default-src 'none'" in text
    embedded = [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in page.images]
    assert sorted(embedded) == sorted((tmp_path / "seen" / name).read_bytes() for name in PICTURES)
    assert all(picture.startswith(PNG) for picture in embedded)
    assert query in page.cells and "base <i>$x$ & y" in page.cells


def test_look_refuses_what_is_wrong_before_anything_is_encoded(run: Path, tmp_path: Path, monkeypatch) -> None:
    base = save_tiny_checkpoint(tmp_path / "base")
    monkeypatch.setattr(SentenceEncoder, "encode", None)
    (tmp_path / "file").write_text("")
    pairs = str(run / "dev.tsv")
    for models, options, error, message in (
        ([base], {"map_by": "umap"}, RecipeError, "unknown map 'umap'"),
        ([base], {"pooler": "clss"}, RecipeError, "unknown pooler"),
        ([base], {"queries": [" "]}, RecipeError, "query: is empty"),
        ([base], {"pairs": str(tmp_path / "none.tsv")}, DataError, "no file"),
        ([base], {"output": tmp_path / "file" / "x"}, RecipeError, "cannot be written"),
        ([base, tmp_path], {"labels": ["a", "b"]}, CheckpointError, "no checkpoint that Transformers can load"),
    ):
        options = {"output": tmp_path / "seen", "pairs": pairs, "device": "cpu"} | options
        with pytest.raises(error, match=message):
            look([str(model) for model in models], **options)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else found(name))
    with pytest.raises(RecipeError, match=r"pip install 'hf-contrastive\[plots\]'"):
        look([str(base)], tmp_path / "seen", pairs=pairs)
