"""`hf-contrastive words | graph | hypernymy ...` on tiny models: what they print is what the models say."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from graph_runs import make_order_run
from scipy.stats import spearmanr
from typer.testing import CliRunner

from hf_contrastive.cli import app
from hf_contrastive.data import Hierarchy, KnowledgeGraph, Vocabulary, load_hierarchy, load_knowledge_graph
from hf_contrastive.models import (
    KnowledgeGraphConfig,
    KnowledgeGraphModel,
    OrderEmbeddingConfig,
    OrderEmbeddingModel,
    WordVectors,
)
from hf_contrastive.models.word_embedding import WordEmbeddingConfig, WordEmbeddingModel
from hf_contrastive.tasks.graphs import save_graph
from hf_contrastive.tasks.hypernymy import save_order
from hf_contrastive.tasks.words import save_words, word_vectors

WIDE = {"COLUMNS": "300"}


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=WIDE)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output


def refused(*arguments: object) -> str:
    """What is said; an error of ours or of the parser, not one that got away."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=WIDE)
    assert done.exit_code in (1, 2) and isinstance(done.exception, SystemExit), done.exception
    return done.output


def rows(printed: str) -> list[list[str]]:
    """Cells of the body of a table."""
    lines = [line for line in printed.split("\n") if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


# --- words ---

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


# --- graphs ---

TRIPLES = {
    "train": [("a", "likes", "b"), ("a", "likes", "c"), ("b", "likes", "[red]x"), ("d", "made of", "c")],
    "valid": [("a", "likes", "d")],
    "test": [("[red]x", "made of", "a\x85b")],  # of which only a line feed ends a line
}


def graph_model(folder: Path, interaction: str, reciprocal: bool) -> tuple[KnowledgeGraphModel, KnowledgeGraph]:
    """A folder as training leaves it, beside the graph's."""
    (folder / "graph").mkdir(parents=True)
    for split, some in TRIPLES.items():
        (folder / f"graph/{split}.txt").write_text("".join("\t".join(row) + "\n" for row in some), encoding="utf-8")
    graph = load_knowledge_graph(folder / "graph")
    torch.manual_seed(0)
    config = KnowledgeGraphConfig(len(graph.entities), 2, interaction, 4, reciprocal=reciprocal)
    model = KnowledgeGraphModel(config)
    save_graph(folder / "final", model, graph)
    return model, graph


@pytest.mark.parametrize("reciprocal", [True, False])
@pytest.mark.parametrize("interaction", ["transe", "complex"])
def test_predict_ranks_entities_as_the_model_scores_them(tmp_path: Path, interaction: str, reciprocal: bool) -> None:
    model, graph = graph_model(tmp_path, interaction, reciprocal)
    for relation, name in enumerate(graph.relations):
        for given, entity in enumerate(graph.entities):
            for side in ("head", "tail"):
                scores = []
                for other in range(len(graph.entities)):
                    h, r, t = (given, relation, other) if side == "head" else (other, relation, given)
                    triple = (t, r + 2, h) if side == "tail" and reciprocal else (h, r, t)
                    scores.append(model.score(*(torch.tensor([number]) for number in triple)).item())
                best = sorted(range(len(scores)), key=lambda row: -scores[row])[:4]
                printed = rows(
                    run("graph", "predict", tmp_path / "final", f"--{side}", entity, "--relation", name, "--k", 4)
                )
                assert [cells[0] for cells in printed] == [graph.entities[row] for row in best]
                assert [float(cells[1]) for cells in printed] == pytest.approx([scores[row] for row in best], abs=6e-4)


@pytest.mark.parametrize(
    ("given", "true"),
    [
        (["--head", "a", "--relation", "likes"], {"b", "c", "d"}),
        (["--tail", "c", "--relation", "likes"], {"a"}),
        (["--tail", "c", "--relation", "made of"], {"d"}),
        (["--tail", "[red]x", "--relation", "likes"], {"b"}),
        (["--head", "c", "--relation", "likes"], set()),
    ],
)
def test_predict_marks_what_is_known(tmp_path: Path, given: list[str], true: set[str]) -> None:
    """Of all splits; by name, for ids of the graph need not be those of the model."""
    graph_model(tmp_path, "distmult", False)
    lines = (tmp_path / "graph/train.txt").read_text().splitlines(keepends=True)
    (tmp_path / "turned").mkdir()
    (tmp_path / "turned/train.txt").write_text("z\tknows\tc\n" + "".join(lines[::-1]))
    (tmp_path / "turned/valid.txt").write_text((tmp_path / "graph/valid.txt").read_text())
    for source in ("graph", "turned"):
        printed = rows(run("graph", "predict", tmp_path / "final", *given, "--known", tmp_path / source))
        assert len(printed) == 6 and {cells[0] for cells in printed if cells[2] == "yes"} == true
        assert {cells[2] for cells in printed} <= {"yes", ""}
    assert len(rows(run("graph", "predict", tmp_path / "final", *given))[0]) == 2


def test_predict_of_an_entity_that_the_graph_lacks_marks_nothing(tmp_path: Path) -> None:
    graph_model(tmp_path, "distmult", False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/train.txt").write_text("x\tknows\ty\n")
    printed = rows(
        run(
            "graph", "predict", tmp_path / "final", "--head", "a", "--relation", "likes", "--known", tmp_path / "other"
        )
    )
    assert len(printed) == 6 and not any(cells[2] for cells in printed)


def test_predict_refuses_what_is_wrong(tmp_path: Path) -> None:
    graph_model(tmp_path, "distmult", False)
    folder = tmp_path / "final"
    (tmp_path / "half").mkdir()
    for name in ("entities.txt", "relations.txt"):
        (tmp_path / "half" / name).write_text((folder / name).read_text())
    for arguments, message in (
        ([folder, "--relation", "likes"], "error: give --head to predict tails, or --tail to predict heads"),
        ([folder, "--relation", "likes", "--head", "a", "--tail", "b"], "error: give --head to predict tails, or"),
        ([folder, "--head", "a", "--relation", "like"], "relation 'like' is not in the model; did you mean 'likes'?"),
        (
            [folder, "--tail", "[red]", "--relation", "likes"],
            "entity '[red]' is not in the model; did you mean '[red]x'?",
        ),
        ([folder, "--head", "qqq", "--relation", "likes"], "error: entity 'qqq' is not in the model\n"),
        ([folder, "--head", "a"], "Missing option '--relation'"),
        ([folder, "--head", "a", "--relation", "likes", "--k", 0], "Invalid value for '--k'"),
        (
            [folder, "--head", "a", "--relation", "likes", "--known", tmp_path / "no"],
            "no: is no folder; name one with",
        ),
        (
            [tmp_path, "--head", "a", "--relation", "likes"],
            "entities.txt: not there; name a folder that `hf-contrastive",
        ),
        ([tmp_path / "half", "--head", "a", "--relation", "likes"], "no file named model.safetensors"),
    ):
        assert message in refused("graph", "predict", *arguments), arguments


# --- hypernymy ---


@pytest.fixture
def order(tmp_path: Path) -> tuple[Path, OrderEmbeddingModel, Hierarchy]:
    hierarchy = load_hierarchy(make_order_run(tmp_path) / "pairs.tsv", dev_pairs=5, test_pairs=5)
    hierarchy.names[3] = "[/i]"
    torch.manual_seed(0)
    model = OrderEmbeddingModel(OrderEmbeddingConfig(40, 6))
    save_order(tmp_path / "final", model, hierarchy)
    return tmp_path / "final", model, hierarchy


def test_explain_shares_the_violation_out_over_coordinates(order: tuple[Path, OrderEmbeddingModel, Hierarchy]) -> None:
    folder, model, hierarchy = order
    for child, ancestor in ((5, 0), (0, 5), (3, 7)):
        below, above = hierarchy.names[child], hierarchy.names[ancestor]
        x, y = (model.concept_embeddings[row].abs().tolist() for row in (child, ancestor))
        parts = {d: max(0.0, b - a) ** 2 for d, (a, b) in enumerate(zip(x, y, strict=True))}
        total = sum(parts.values())
        printed = run("hypernymy", "explain", folder, below, above, "--k", 4)
        assert f"{below} below {above}? violation {total:.4f}\n" in printed
        best = sorted(parts, key=lambda d: -parts[d])[:4]
        used = [d for d in best if parts[d]]
        cells = rows(printed)
        assert len(cells) == 4 and [row[0] for row in cells[: len(used)]] == [str(d) for d in used]
        for d, row in zip(used, cells, strict=False):
            assert row[1:] == [f"{x[d]:.3f}", f"{y[d]:.3f}", f"{100 * parts[d] / total:.1f}%"]
        for threshold, verdict in ((total * 1.01, "below"), (total * 0.99, "not below")):
            told = run("hypernymy", "explain", folder, below, above, "--threshold", threshold)
            assert f"violation {total:.4f}: {verdict} {above}\n" in told


def test_a_concept_does_not_violate_the_order_with_itself(order: tuple[Path, OrderEmbeddingModel, Hierarchy]) -> None:
    printed = run("hypernymy", "explain", order[0], "c1", "c1", "--threshold", 0)
    assert "c1 below c1? violation 0.0000: below c1" in printed and {row[3] for row in rows(printed)} == {"0.0%"}


def test_explain_refuses_what_is_wrong(order: tuple[Path, OrderEmbeddingModel, Hierarchy], tmp_path: Path) -> None:
    folder, *_ = order
    for arguments, message in (
        ([folder, "c1", "cc2"], "error: concept 'cc2' is not in the model; did you mean 'c2'?"),
        ([folder, "zzz", "c2"], "error: concept 'zzz' is not in the model\n"),
        (
            [tmp_path / "nowhere", "c1", "c2"],
            "concepts.txt: not there; name a folder that `hf-contrastive train` left",
        ),
        ([folder, "c1"], "Missing argument"),
        ([folder, "c1", "c2", "--k", 0], "Invalid value for '--k'"),
        ([folder, "c1", "c2", "--threshold", "low"], "Invalid value for '--threshold'"),
    ):
        assert message in refused("hypernymy", "explain", *arguments), arguments


# --- all of them ---


@pytest.mark.parametrize("group", ["words", "graph", "hypernymy"])
def test_a_group_alone_shows_what_it_can_do(group: str) -> None:
    done = CliRunner().invoke(app, [group], env=WIDE)
    commands = {"words": ["neighbours", "evaluate", "export"], "graph": ["predict"], "hypernymy": ["explain"]}
    assert all(name in done.output for name in commands[group])


@pytest.mark.parametrize("task", ["words", "graph", "hypernymy"])
def test_keys_are_those_of_the_task(task: str) -> None:
    only = {"words": "subsample", "graph": "interaction", "hypernymy": "protocol"}
    printed = run("keys", "--task", task)
    assert {key for key in only.values() if f"│ {key} " in printed} == {only[task]} and "│ task " in printed


def test_errors_come_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hf_contrastive.cli", "hypernymy", "explain", str(tmp_path), "a", "b"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert done.stdout == ""
