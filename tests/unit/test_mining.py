"""Mining against a loop over all candidates in float64; shards and index one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from mined import RANKS, WIDTH, joined, pairs_with_duplicates, run, sentences, stored

from hf_contrastive.mining import Rules, search
from hf_contrastive.mining.corpus import make_corpus
from hf_contrastive.mining.filters import REASONS
from hf_contrastive.mining.search import rounds
from hf_contrastive.retrieval import index
from hf_contrastive.retrieval.vectors import Vectors


def reference(data: Dataset, other: Dataset | None, vectors: Vectors, rules: Rules) -> tuple[list, list, dict]:
    """Every candidate of every row, one at a time, by its text."""
    anchors = [text.strip() for text in data["anchor"]]
    positives = [text.strip() for text in data["positive"]] if "positive" in data.column_names else anchors
    outside = [] if other is None else [text.strip() for text in other["anchor"]]
    texts = list(dict.fromkeys([*anchors, *positives, *outside]))
    table = np.concatenate([np.load(vectors.shards.path(n)) for n in range(len(vectors.shards))]).astype(np.float64)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    vector = dict(zip(texts, table, strict=True))
    known = {pair for a, b in zip(anchors, positives, strict=True) for pair in ((a, b), (b, a))}
    all_negatives, all_scores, counts = [], [], dict.fromkeys(REASONS, 0)
    for anchor, positive in zip(anchors, positives, strict=True):
        top = 1.0 if "positive" not in data.column_names else float(vector[anchor] @ vector[positive])
        scored = sorted(((float(vector[anchor] @ vector[c]), c) for c in set(outside or positives)), reverse=True)
        negatives, scores, rank = [], [], 0
        for score, candidate in scored:
            if len(negatives) == rules.k or (rules.range_max is not None and rank >= rules.range_max):
                break
            if candidate == anchor:
                counts[REASONS[0]] += 1
            elif candidate == positive:
                counts[REASONS[1]] += 1
            elif (anchor, candidate) in known:
                counts[REASONS[2]] += 1
            else:
                rank += 1
                if rank <= rules.range_min:
                    counts[REASONS[3]] += 1
                elif rules.max_score is not None and score > rules.max_score:
                    counts[REASONS[4]] += 1
                elif rules.margin is not None and score > top - rules.margin:
                    counts[REASONS[5]] += 1
                elif rules.max_percent is not None and score > top - (1 - rules.max_percent) * abs(top):
                    counts[REASONS[6]] += 1
                else:
                    negatives.append(candidate)
                    scores.append(score)
        all_negatives.append(negatives)
        all_scores.append(scores)
    return all_negatives, all_scores, counts


RULES = {
    "plain": Rules(k=3),
    "ranks": Rules(k=4, range_min=3, range_max=9),
    "margin": Rules(k=3, margin=0.1),
    "percent": Rules(k=3, max_percent=0.8),
    "score": Rules(k=5, max_score=0.2),
    "all": Rules(k=2, range_min=1, range_max=25, margin=0.05, max_percent=0.9, max_score=0.5),
    "more than there are": Rules(k=50),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("kind", ["sentences", "pairs", "pairs and a corpus"])
def test_mining_is_the_loop_over_all_candidates(tmp_path: Path, kind: str, name: str) -> None:
    rules, data = RULES[name], sentences() if kind == "sentences" else pairs_with_duplicates()
    other = None
    if kind == "pairs and a corpus":
        more = [f"document {n}" for n in range(30)] + [text.strip() for text in data["positive"][:10]]
        other = Dataset.from_dict({"anchor": [*more, *data["anchor"][:10]]})
    corpus = make_corpus(data, other)
    vectors = stored(tmp_path, corpus)
    found = joined(run(tmp_path, corpus, vectors, rules))
    negatives, scores, counts = reference(data, other, vectors, rules)
    ids = [row[row >= 0] for row in found["ids"]]
    assert [[text.strip() for text in corpus.texts(row).to_pylist()] for row in ids] == negatives
    for row, count, expected in zip(found["scores"], map(len, ids), scores, strict=True):
        np.testing.assert_allclose(row[:count], expected, atol=1e-6)
    assert dict(zip(REASONS, found["dropped"], strict=True)) == counts
    assert counts[REASONS[0]] or kind != "sentences"
    assert kind == "sentences" or (counts[REASONS[1]] and counts[REASONS[2]])


def test_equal_texts_never_come_out_however_near_they_are(tmp_path: Path) -> None:
    data = Dataset.from_dict(
        {"anchor": ["q", "q", " q", "r"], "positive": ["first answer", "second answer ", "third", "\tfirst answer"]}
    )
    corpus = make_corpus(data)
    vectors = stored(tmp_path, corpus, np.ones((len(corpus.places), WIDTH)))  # all are as near as can be
    found = joined(run(tmp_path, corpus, vectors, Rules(k=4)))
    texts = [[text.strip() for text in corpus.texts(row[row >= 0]).to_pylist()] for row in found["ids"]]
    assert texts[:3] == [[], [], []]  # all three are known answers of q
    assert sorted(texts[3]) == ["second answer", "third"]


def test_an_anchor_short_of_negatives_is_searched_deeper_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 200 nearest of 300 candidates are too near; cosines fall with the number of the text."""
    angles = np.linspace(0, np.pi / 2, 300)
    corpus = make_corpus(Dataset.from_dict({"anchor": [str(n) for n in range(300)]}))
    vectors = stored(tmp_path, corpus, np.stack([np.cos(angles), np.sin(angles)], 1))
    limit = float(np.cos(angles[200]) + 1e-3)
    first = corpus.anchors[0]
    depths: list[int] = []
    searched = index.NeighbourIndex.search

    def noted(self: Any, queries: np.ndarray, depth: int, lists: int) -> Any:
        depths.append(depth)
        return searched(self, queries, depth, lists)

    monkeypatch.setattr(index.NeighbourIndex, "search", noted)
    found = joined(run(tmp_path, corpus, vectors, Rules(k=2, max_score=limit)))
    assert found["ids"][first].tolist() == [200, 201]
    assert depths[:4] == [14, 56, 224, 14]  # the first shard, then the next
    monkeypatch.setattr(search, "DEEPEST", 100)
    short = joined(run(tmp_path / "short", corpus, vectors, Rules(k=2, max_score=limit)))
    assert short["ids"][first].tolist() == [-1, -1]


def test_rounds_grow_to_their_limits() -> None:
    assert list(rounds(Rules(k=5), 10**6, 32, 4000)) == [(20, 32), (80, 128), (320, 512), (1280, 512), (2048, 512)]
    assert list(rounds(Rules(k=5, range_max=6), 15, 32, 1)) == [(15, 1)]
    assert next(rounds(Rules(k=5, range_min=30, range_max=40), 10**6, 1, 1)) == (50, 1)


def test_inverted_lists_find_the_same_when_all_are_looked_into(tmp_path: Path) -> None:
    corpus = make_corpus(Dataset.from_dict({"anchor": [f"sentence {n}" for n in range(400)]}))
    vectors = stored(tmp_path, corpus, shard_size=50)
    flat = joined(run(tmp_path / "flat", corpus, vectors, Rules(k=4)))
    ivf = joined(run(tmp_path / "ivf", corpus, vectors, Rules(k=4), "ivf", nprobe=10))
    centroids = np.load(tmp_path / "ivf/search/centroids.npy")
    assert len(centroids) == index.number_of_lists(400) == 10
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(ivf["ids"], flat["ids"])
    few = joined(run(tmp_path / "few", corpus, vectors, Rules(k=4), "ivf", nprobe=1))
    np.testing.assert_array_equal(np.load(tmp_path / "few/search/centroids.npy"), centroids)
    same = (few["ids"] == flat["ids"]).mean()
    assert 0.2 < same < 1  # one list of ten does not hold all neighbours
    assert (few["ids"] >= 0).all()  # and where it held too few, more were looked into


def test_auto_is_exact_up_to_fifty_thousand_candidates() -> None:
    assert [index.resolve_index("auto", count) for count in (50_000, 50_001)] == ["flat", "ivf"]
    assert index.resolve_index("flat", 10**7) == "flat" and index.resolve_index("ivf", 10) == "ivf"
    assert [index.number_of_lists(count) for count in (10, 10**6)] == [1, 4000]


def test_vectors_come_back_as_unit_vectors_in_any_order(tmp_path: Path) -> None:
    corpus = make_corpus(sentences())
    raw = np.random.default_rng(3).normal(size=(len(corpus.places), WIDTH))
    vectors = stored(tmp_path, corpus, raw)
    ids = np.array([30, 2, 2, 17, 0])
    expected = raw[ids] / np.linalg.norm(raw[ids], axis=1, keepdims=True)
    np.testing.assert_allclose(vectors[ids], expected, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(vectors[ids], axis=1), 1, atol=1e-6)
    assert vectors[ids].dtype == np.float32


def test_missing_and_damaged_shards_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus = make_corpus(sentences())
    vectors = stored(tmp_path, corpus)
    assert vectors.shards.missing(RANKS) == []
    vectors.shards.path(1).unlink()
    whole = vectors.shards.path(2).read_bytes()
    vectors.shards.path(2).write_bytes(whole[:-3])
    np.save(vectors.shards.path(3), np.zeros((2, WIDTH), np.float16))  # another number of rows
    assert vectors.shards.missing(RANKS) == [1, 2, 3]
    assert "00002.npy is damaged" in caplog.text
    vectors = stored(tmp_path, corpus)
    results = run(tmp_path, corpus, vectors, Rules(k=2))
    before = {number: results.read(number)["ids"] for number in range(len(results.shards))}
    path = results.shards.path(1)
    path.write_bytes(path.read_bytes()[:-5])
    assert results.shards.missing(RANKS) == [1]
    again = run(tmp_path, corpus, vectors, Rules(k=2))
    assert all((again.read(number)["ids"] == ids).all() for number, ids in before.items())
