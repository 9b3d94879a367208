"""Whitening: moments against numpy's, the map against the authors' formula, the published folder against theirs."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import sentence
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

import hf_contrastive.whiten as module
from hf_contrastive import ContrastiveTrainingArguments
from hf_contrastive.cli import app
from hf_contrastive.errors import CheckpointError, DataError, RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.whitening import RunningMoments, fit_whitening
from hf_contrastive.training.build import contrastive_model
from hf_contrastive.whiten import whiten


def vectors(rows: int = 200, width: int = 7, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) + 50 * rng.normal(size=width)


def moments_of(x: np.ndarray, block: int = 33) -> RunningMoments:
    moments = RunningMoments(x.shape[1])
    for start in range(0, len(x), block):
        moments.update(torch.from_numpy(x[start : start + block]))
    moments.update(torch.empty(0, x.shape[1]))
    return moments


@pytest.mark.parametrize("block", [1, 33, 200, 500])
def test_moments_in_blocks_are_those_of_all(block: int) -> None:
    x = vectors()
    moments = moments_of(x, block)
    assert moments.count == 200
    np.testing.assert_allclose(moments.mean.numpy(), x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance.numpy(), np.cov(x.T), rtol=1e-9, atol=1e-9)


def test_moments_of_a_large_mean_lose_nothing() -> None:
    x = vectors() + 1e8  # the mean of squares minus the squared mean would be rounding alone
    np.testing.assert_allclose(moments_of(x).covariance.numpy(), np.cov(x.T), rtol=1e-6)


@pytest.mark.parametrize("dimension", [None, 7, 3])
def test_whitening_is_the_formula_of_the_paper(dimension: int | None) -> None:
    x = vectors()
    fitted = fit_whitening(moments_of(x), dimension)
    u, s, _ = np.linalg.svd(np.cov(x.T))
    theirs = (x - x.mean(axis=0)) @ np.linalg.inv((u @ np.diag(s**0.5)).T)[:, :dimension]  # Su et al.'s own line
    ours = x @ fitted.weight.numpy().T + fitted.bias.numpy()
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-8)  # up to the signs of the eigenvectors
    np.testing.assert_allclose(ours.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(ours.T), np.eye(dimension or 7), atol=1e-9)
    assert fitted.rank == 7 and fitted.kept == pytest.approx(s[:dimension].sum() / s.sum())


def test_directions_that_are_constant_are_left_out_or_refused() -> None:
    x = vectors()
    x[:, 6] = x[:, 0] - 2 * x[:, 1]
    fitted = fit_whitening(moments_of(x.astype(np.float32)))
    assert fitted.rank == 6 and fitted.weight.shape == (6, 7) and fitted.kept == pytest.approx(1)
    with pytest.raises(DataError, match="differ in 6 directions, so 7 cannot be whitened; name --dimension 6 or less"):
        fit_whitening(moments_of(x), 7)
    with pytest.raises(DataError, match="are all the same"):
        fit_whitening(moments_of(np.ones((20, 3))))
    with pytest.raises(DataError, match="7 sentences cannot whiten 7 dimensions.*at least 8 .*--dimension 6 or less"):
        fit_whitening(moments_of(vectors(7)))
    assert fit_whitening(moments_of(vectors(7)), 6).weight.shape == (6, 7)


# --- the model with it ---


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_tiny_checkpoint(tmp_path_factory.mktemp("whitening") / "checkpoint")


@pytest.fixture(scope="module")
def corpus(checkpoint: Path) -> Path:
    rng = random.Random(0)
    path = checkpoint.parent / "corpus.txt"
    path.write_text("\n".join(sentence(rng) for _ in range(300)) + "\n", encoding="utf-8")
    return path


def made(checkpoint: Path, corpus: Path, output: Path, **options) -> SentenceEncoder:
    whiten(str(checkpoint), str(corpus), output, device="cpu", **options)
    return SentenceEncoder.from_pretrained(str(output))


def lines(corpus: Path) -> list[str]:
    return corpus.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("options", [{}, {"dimension": 12}, {"pooler": "avg_first_last", "dimension": 31}])
def test_covariance_of_the_published_model_is_the_identity(checkpoint, corpus, tmp_path, options) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = made(checkpoint, corpus, tmp_path / "white", **options)
    found = encoder.encode(lines(corpus))
    # A fresh layer norm's output sums to zero: 31 of 32 directions.
    assert encoder.width == found.shape[1] == options.get("dimension", 31)
    np.testing.assert_allclose(found.double().mean(dim=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(found.double().numpy().T), np.eye(encoder.width), atol=1e-4)
    theirs = SentenceTransformer(str(tmp_path / "white"), device="cpu")
    np.testing.assert_allclose(theirs.encode(lines(corpus)), found.numpy(), atol=1e-4)
    assert theirs.get_embedding_dimension() == encoder.width
    assert {p.suffix for p in (tmp_path / "white").rglob("*") if p.is_file()} <= {".json", ".safetensors", ".txt"}
    types = [m["type"] for m in json.loads((tmp_path / "white" / "modules.json").read_text())]
    assert all(t.startswith("sentence_transformers.models.") for t in types) and types[-1].endswith("Dense")


def test_head_whitening_and_unit_vectors_stand_in_one_folder(checkpoint, corpus, tmp_path) -> None:
    from sentence_transformers import SentenceTransformer

    torch.manual_seed(1)
    SentenceEncoder.from_pretrained(str(checkpoint), pooler="cls", head="kept").save_pretrained(tmp_path / "headed")
    encoder = made(tmp_path / "headed", corpus, tmp_path / "white", dimension=8, normalize=True)
    kinds = [m["type"].rsplit(".")[-1] for m in json.loads((tmp_path / "white" / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"]
    found = encoder.encode(lines(corpus))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(300))
    theirs = SentenceTransformer(str(tmp_path / "white"), device="cpu").encode(lines(corpus))
    np.testing.assert_allclose(theirs, found.numpy(), atol=1e-4)  # rounding, stretched with the narrow directions
    raw = encoder.encode(lines(corpus), normalize=False).double().numpy()
    np.testing.assert_allclose(np.cov(raw.T), np.eye(8), atol=1e-4)


def test_a_whitening_of_a_whitened_model_is_one_map(checkpoint, corpus, tmp_path) -> None:
    first = made(checkpoint, corpus, tmp_path / "first", dimension=20)
    assert json.loads((tmp_path / "first" / "whitening.json").read_text())["sentences"] == 300
    second = made(tmp_path / "first", corpus, tmp_path / "second", dimension=20)
    assert second.projection.weight.shape == (20, 32)
    # Whitened vectors are known up to a rotation: what does not depend on it is the same.
    one, two = (encoder.encode(lines(corpus)[:30]) for encoder in (first, second))
    torch.testing.assert_close(one @ one.T, two @ two.T, atol=1e-3, rtol=1e-3)


def test_every_text_of_a_row_counts(checkpoint, tmp_path) -> None:
    rng = random.Random(1)
    rows = [[sentence(rng) for _ in range(3)] for _ in range(40)]
    text = "a\tb\tc\n" + "".join("\t".join(row) + "\n" for row in rows)
    (tmp_path / "rows.tsv").write_text(text)
    (tmp_path / "flat.txt").write_text("\n".join(sum(rows, [])) + "\n")
    apart = made(checkpoint, tmp_path / "rows.tsv", tmp_path / "a", dimension=9, columns=["a", "b", "c"])
    flat = made(checkpoint, tmp_path / "flat.txt", tmp_path / "b", dimension=9)
    torch.testing.assert_close(apart.projection.weight, flat.projection.weight, rtol=1e-3, atol=1e-3)
    two = made(checkpoint, tmp_path / "rows.tsv", tmp_path / "c", dimension=9, columns=["a", "b"])
    assert not torch.allclose(two.projection.weight, flat.projection.weight, rtol=1e-2, atol=1e-2)
    with pytest.raises(DataError, match="--column COLUMN"):
        whiten(str(checkpoint), str(tmp_path / "rows.tsv"), tmp_path / "d")


def test_a_killed_run_goes_on_to_the_same_map(checkpoint, corpus, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 64)
    whole = made(checkpoint, corpus, tmp_path / "whole", dimension=16)
    encode, seen = SentenceEncoder.encode, []

    def killed(self, sentences, **options):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(list(sentences))
        return encode(self, sentences, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SentenceEncoder, "encode", killed)
        whiten(str(checkpoint), str(corpus), tmp_path / "again", dimension=16)
    assert not (tmp_path / "again").exists()
    with pytest.raises(RecipeError, match=r"other settings, which differ in max_length \(128 -> 16\)"):
        whiten(str(checkpoint), str(corpus), tmp_path / "again", dimension=16, max_length=16)
    with monkeypatch.context() as patched:
        seen = [None] * 4  # counts the blocks encoded anew, and never stops
        patched.setattr(SentenceEncoder, "encode", killed)
        whiten(str(checkpoint), str(corpus), tmp_path / "again", dimension=16)
    assert [len(block) for block in seen[4:]] == [64, 300 - 4 * 64]
    again = SentenceEncoder.from_pretrained(str(tmp_path / "again"))
    assert torch.equal(again.projection.weight, whole.projection.weight)
    assert torch.equal(again.projection.bias, whole.projection.bias)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "whole"]


def test_what_cannot_work_is_refused_before_anything_is_encoded(checkpoint, corpus, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(SentenceEncoder, "encode", None)
    (tmp_path / "few.txt").write_text("\n".join(lines(corpus)[:20]))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for data, folder, options, error, message in (
        (corpus, "full", {}, RecipeError, "is there already"),
        (corpus, "x", {"dimension": 33}, RecipeError, "33 is more than the 32 numbers"),
        (corpus, "x", {"dimension": 0}, RecipeError, "must be positive"),
        (corpus, "x", {"pooler": "clss"}, RecipeError, "unknown pooler"),
        (corpus, "x", {"max_length": 1000}, RecipeError, "more than the 128 positions"),
        (tmp_path / "few.txt", "x", {}, DataError, "20 sentences cannot whiten 32 dimensions.*--dimension 19 or less"),
        (tmp_path / "none.txt", "x", {}, DataError, "no such file"),
        (corpus, "full/notes.txt/x", {}, RecipeError, "cannot be written"),
    ):
        with pytest.raises(error, match=message):
            whiten(str(checkpoint), str(data), tmp_path / folder, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["few.txt", "full"]


def test_a_whitened_model_takes_no_other_pooler_and_no_training(checkpoint, corpus, tmp_path) -> None:
    encoder = made(checkpoint, corpus, tmp_path / "white", dimension=8)
    for options in ({"pooler": "cls"}, {"head": "train_only"}):
        with pytest.raises(CheckpointError, match="was fitted with pooler avg and head none"):
            SentenceEncoder.from_pretrained(str(tmp_path / "white"), **options)
    with pytest.raises(RecipeError, match="train the model it was fitted to, and fit it again"):
        contrastive_model(encoder, ContrastiveTrainingArguments(str(tmp_path / "x"), report_to="none"), "in_batch")
    with pytest.raises(CheckpointError, match="does not fit vectors of 8 numbers"):
        encoder.project(torch.ones(3, 9), torch.ones(3))


def test_bfloat16_leaves_the_last_map_in_float32(checkpoint) -> None:
    encoder = SentenceEncoder.from_pretrained(str(checkpoint))
    plain = encoder.encode(["two dogs run"], bf16=True)
    weight, bias = torch.randn(4, 32), torch.randn(4)
    encoder.project(weight, bias)
    torch.testing.assert_close(encoder.encode(["two dogs run"], bf16=True), plain @ weight.T + bias)


def test_dense_modules_without_activation_are_read_as_sentence_transformers_reads_them(checkpoint, tmp_path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense

    SentenceEncoder.from_pretrained(str(checkpoint)).save_pretrained(tmp_path / "plain")
    theirs = SentenceTransformer(str(tmp_path / "plain"), device="cpu")
    theirs.append(Dense(32, 6, bias=False, activation_function=nn.Identity()))
    theirs.save(str(tmp_path / "projected"))
    texts = ["a man sings", "two dogs run near the sea"]
    ours = SentenceEncoder.from_pretrained(str(tmp_path / "projected"))
    np.testing.assert_allclose(ours.encode(texts).numpy(), theirs.encode(texts), atol=1e-5)
    ours.save_pretrained(tmp_path / "again")
    again = SentenceTransformer(str(tmp_path / "again"), device="cpu").encode(texts)
    np.testing.assert_allclose(again, theirs.encode(texts), atol=1e-5)

    path = tmp_path / "projected" / "modules.json"
    modules = json.loads(path.read_text())
    path.write_text(json.dumps([*modules, {**modules[-1], "idx": 3, "name": "3"}]))
    with pytest.raises(CheckpointError, match="after another of its kind"):
        SentenceEncoder.from_pretrained(str(tmp_path / "projected"))
    path.write_text(json.dumps(modules))
    config = tmp_path / "projected" / modules[-1]["path"] / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_residual": True}))
    with pytest.raises(CheckpointError, match="only a Dense module with Tanh or without an activation"):
        SentenceEncoder.from_pretrained(str(tmp_path / "projected"))


def test_a_damaged_state_names_what_to_delete(checkpoint, corpus, tmp_path) -> None:
    state = tmp_path / "white.work" / "moments.safetensors"
    state.parent.mkdir()
    state.write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"cannot be read .*delete .*white\.work"):
        whiten(str(checkpoint), str(corpus), tmp_path / "white")
    save_file({"mean": torch.zeros(2)}, state)
    assert load_file(state)
    with pytest.raises(CheckpointError, match="cannot be read"):
        whiten(str(checkpoint), str(corpus), tmp_path / "white")


def test_the_command_says_what_is_kept(checkpoint, corpus, tmp_path) -> None:
    given = ["whiten", checkpoint, corpus, "--output", tmp_path / "white", "--dimension", "5", "--normalize"]
    done = CliRunner().invoke(app, [*map(str, given), "--max-rows", "100", "--device", "cpu"])
    assert done.exit_code == 0, done.output + str(done.exception)
    about = json.loads((tmp_path / "white" / "whitening.json").read_text())
    assert about["sentences"] == 100 and (about["from"], about["to"]) == (32, 5) and 0 < about["variance"] < 1
    assert f"white: 5 of 32 dimensions, {100 * about['variance']:.2f}% of the variance" in done.output
    assert SentenceEncoder.from_pretrained(str(tmp_path / "white")).normalize
    done = CliRunner().invoke(app, [*map(str, given)])
    assert done.exit_code == 1 and "is there already" in str(done.exception) + done.output
