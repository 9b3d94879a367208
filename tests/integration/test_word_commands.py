"""`hf-contrastive words ...` on a tiny table: what it prints is what the vectors say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import refused, rows, run
from scipy.stats import spearmanr

from hf_contrastive.data import Vocabulary
from hf_contrastive.models import WordVectors
from hf_contrastive.models.word_embedding import WordEmbeddingConfig, WordEmbeddingModel
from hf_contrastive.tasks.words import save_words, word_vectors

WORDS = ["the", "of", "dog", "cat", "horse", "[/b]", "naïve", "日本"]


@pytest.fixture
def words(tmp_path: Path) -> tuple[Path, WordVectors]:
    """A folder as training leaves it, and its vectors."""
    torch.manual_seed(0)
    model = WordEmbeddingModel(WordEmbeddingConfig(len(WORDS), 5))
    torch.nn.init.normal_(model.input_embeddings)
    vocabulary = Vocabulary(list(WORDS), np.arange(len(WORDS), 0, -1), 100)
    vectors = word_vectors(model, vocabulary)
    save_words(tmp_path / "final", model, vocabulary, vectors)
    return tmp_path / "final", vectors


def test_neighbours_are_the_nearest_by_cosine(words: tuple[Path, WordVectors]) -> None:
    folder, vectors = words
    printed = rows(run("words", "neighbours", folder, "dog", "DOG", "[/b]", "unknown", "--k", 3))
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    for word, cells in (("dog", printed[0]), ("dog", printed[1]), ("[/b]", printed[2])):
        cosines = unit @ unit[WORDS.index(word)]
        nearest = [row for row in np.argsort(-cosines) if WORDS[row] != word][:3]
        assert cells[1] == ", ".join(f"{WORDS[row]} {cosines[row]:.2f}" for row in nearest)
    assert [cells[0] for cells in printed] == ["dog", "DOG", "[/b]", "unknown"] and printed[3][1] == "(no vector)"


@pytest.mark.parametrize("name", ["v.txt", "v.bin", "v.vec", "v.txt.gz", "v.bin.gz"])
def test_what_is_exported_is_read_by_gensim_and_by_the_other_commands(
    tmp_path: Path, words: tuple[Path, WordVectors], name: str
) -> None:
    gensim = pytest.importorskip("gensim.models")
    folder, vectors = words
    printed = run("words", "export", folder, tmp_path / "out" / name)
    assert f"{tmp_path / 'out' / name}: 8 words, 5 numbers each" in printed
    keyed = gensim.KeyedVectors.load_word2vec_format(str(tmp_path / "out" / name), binary=".bin" in name)
    assert keyed.index_to_key == WORDS and (keyed.vectors == vectors.vectors).all()
    both = [run("words", "neighbours", given, "cat") for given in (folder, tmp_path / "out" / name)]
    assert both[0] == both[1]


def test_evaluate_prints_spearman_and_analogies(tmp_path: Path, words: tuple[Path, WordVectors]) -> None:
    folder, vectors = words
    pairs = [
        ("dog", "cat", 9.0),
        ("dog", "of", 1.5),
        ("the", "horse", 2.0),
        ("cat", "horse", 7.0),
        ("dog", "xyz", 5.0),
    ]
    (tmp_path / "pairs.txt").write_text("".join(f"{a} {b} {score}\n" for a, b, score in pairs))
    for oov in ("skip", "zero"):
        known = [pair for pair in pairs if pair[1] in WORDS or oov == "zero"]
        unit = {word: row for word, row in zip(WORDS, vectors.unit(), strict=True)}
        cosines = [float(unit[a] @ unit[b]) if b in unit else 0.0 for a, b, _ in known]
        expected = 100 * spearmanr(cosines, [score for *_, score in known]).statistic
        printed = run("words", "evaluate", folder, "--similarity", tmp_path / "pairs.txt", "--oov", oov)
        assert rows(printed) == [["pairs", f"{expected:.2f}", "5", "4"]] and f"unknown words: {oov}" in printed
    unit = vectors.unit()
    vectors.vectors[3] = unit[2] - unit[0] + unit[1]  # cat is to dog as of is to the
    vectors.save_word2vec(tmp_path / "v.bin", binary=True)
    (tmp_path / "questions.txt").write_text(": gram1-x\nthe of dog cat\n: family\nthe of dog horse\n")
    given = ["--similarity", tmp_path / "pairs.txt", "--analogies", tmp_path / "questions.txt"]
    printed = run("words", "evaluate", tmp_path / "v.bin", *given)
    assert "analogies, semantic: 0.00%" in printed and "analogies, syntactic: 100.00%" in printed


def test_words_refuse_what_is_wrong(tmp_path: Path, words: tuple[Path, WordVectors]) -> None:
    folder, _ = words
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.txt").write_text("no header\n")
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("dog cat 1\ncat horse 2\n")
    for arguments, message in (
        (
            ["neighbours", "runs/no/where", "dog"],
            "runs/no/where: no such folder, and the Hub gave nothing of this name",
        ),
        (
            ["neighbours", tmp_path / "empty", "dog"],
            "empty: has no vocab.tsv; name a folder that `hf-contrastive train`",
        ),
        (
            ["neighbours", tmp_path / "bad.txt", "dog"],
            "bad.txt, line 1: expected the numbers of words and of dimensions",
        ),
        (["neighbours", folder, "dog", "--k", 0], "Invalid value for '--k'"),
        (["neighbours", folder], "Missing argument"),
        (["evaluate", folder, "--similarity", tmp_path / "no"], "no: no such file or folder"),
        (
            ["evaluate", folder, "--similarity", pairs, "--oov", "guess"],
            "oov: unknown policy 'guess'; choose from skip",
        ),
        (["evaluate", folder, "--similarity", pairs, "--analogies", tmp_path / "no.txt"], "no.txt"),
        (["export", tmp_path / "empty", tmp_path / "v.bin"], "empty: has no vocab.tsv"),
        (["export", folder, folder / "vocab.tsv" / "v.bin"], "vocab.tsv"),
    ):
        assert message in refused("words", *arguments), arguments
