"""`hf-contrastive graph | hypernymy ...` on tiny models: what they print is what the models say."""

from pathlib import Path

import pytest
import torch
from commands import refused, rows, run
from graph_runs import make_order_run

from hf_contrastive.data import Hierarchy, KnowledgeGraph, load_hierarchy, load_knowledge_graph
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel, OrderEmbeddingConfig, OrderEmbeddingModel
from hf_contrastive.tasks.graphs import save_graph
from hf_contrastive.tasks.hypernymy import save_order

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
