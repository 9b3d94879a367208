"""Mining against a loop over all candidates in float64; shards, index, settings and output one by one."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import PartialState
from datasets import Dataset
from helpers import tiny_bert, tiny_tokenizer

from hf_contrastive.arguments import DataArguments
from hf_contrastive.data import load_training_data
from hf_contrastive.errors import RecipeError
from hf_contrastive.mining import MiningSettings, Rules, search
from hf_contrastive.mining.corpus import Corpus, make_corpus
from hf_contrastive.mining.filters import REASONS
from hf_contrastive.mining.output import columns_of, write_output
from hf_contrastive.mining.search import Results, rounds, search_missing
from hf_contrastive.mining.settings import check_output
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.retrieval import index
from hf_contrastive.retrieval.fingerprint import model_fingerprint
from hf_contrastive.retrieval.vectors import Vectors
from hf_contrastive.retrieval.work import check_settings

WIDTH = 8
RANKS = PartialState(cpu=True)


def stored(folder: Path, corpus: Corpus, raw: np.ndarray | None = None, shard_size: int = 7) -> Vectors:
    """Random unit vectors of all distinct texts, in shards."""
    count = len(corpus.places)
    raw = np.random.default_rng(1).normal(size=(count, WIDTH)) if raw is None else raw
    raw = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    vectors = Vectors(folder / "vectors", count, raw.shape[1], shard_size)
    for number in range(len(vectors.shards)):
        vectors.write(number, raw[vectors.shards.span(number)])
    return vectors


def run(folder: Path, corpus: Corpus, vectors: Vectors, rules: Rules, kind: str = "flat", nprobe: int = 32) -> Results:
    results = Results(folder / "search", len(corpus.anchors), rules.k, 11)
    search_missing(corpus, vectors, results, rules, kind, nprobe, RANKS)
    return results


def joined(results: Results) -> dict[str, np.ndarray]:
    shards = [results.read(number) for number in range(len(results.shards))]
    parts = {name: np.concatenate([shard[name] for shard in shards]) for name in ("ids", "scores", "positive_scores")}
    return parts | {"dropped": sum(shard["dropped"] for shard in shards)}


def pairs_with_duplicates(rows: int = 60) -> Dataset:
    """Anchors with several positives, positives that are anchors elsewhere, texts that differ in outer spaces."""
    rng = np.random.default_rng(0)
    anchors = [f"anchor {rng.integers(40)}" for _ in range(rows)]
    positives = [f"{' ' * int(rng.integers(2))}positive {rng.integers(40)}" for _ in range(rows)]
    anchors[5:9] = positives[10:14]
    positives[20:24] = anchors[10:14]  # with these, candidates whose own positive the anchor is
    return Dataset.from_dict({"anchor": anchors, "positive": positives})


def sentences(rows: int = 60) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset.from_dict(
        {"anchor": [f"sentence {rng.integers(45)}{' ' * int(rng.integers(2))}" for _ in range(rows)]}
    )


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


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("kind", ["sentences", "pairs"])
def test_the_output_is_read_back_by_the_recipe_line_it_prints(tmp_path: Path, kind: str, suffix: str) -> None:
    data = sentences() if kind == "sentences" else pairs_with_duplicates()
    corpus = make_corpus(data)
    results = run(tmp_path, corpus, stored(tmp_path, corpus), Rules(k=4, max_score=-0.6))
    file = tmp_path / f"mined{suffix}"
    report = write_output(file, corpus, results)
    ids = joined(results)["ids"]
    counts = (ids >= 0).sum(1)
    assert (report.rows, report.negatives) == (60, counts.sum())
    assert (report.full, report.short, report.empty) == tuple(
        int(part.sum()) for part in (counts == 4, (counts > 0) & (counts < 4), counts == 0)
    )
    assert report.short and report.empty  # else the loading below shows little
    read = load_training_data(DataArguments(train_data=str(file), columns=columns_of(4).removeprefix("columns: ")))
    assert list(read["anchor"]) == list(data["anchor"])
    assert list(read["positive"]) == list(data["anchor" if kind == "sentences" else "positive"])
    assert list(read["negatives"]) == [corpus.texts(row[row >= 0]).to_pylist() for row in ids]
    rows = (
        [json.loads(line) for line in file.read_text().splitlines()]
        if suffix == ".jsonl"
        else Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache")).to_list()
    )
    parts = joined(results)
    for row, count, scores, positive in zip(rows, counts, parts["scores"], parts["positive_scores"], strict=True):
        assert row["scores"] == pytest.approx(scores[:count], abs=1e-6)
        assert row["positive_score"] == pytest.approx(positive, abs=1e-6)
        assert [row[f"negative_{n}"] is None for n in range(1, 5)] == [n > count for n in range(1, 5)]
    assert kind == "pairs" or {row["positive_score"] for row in rows} == {1.0}
    assert list(tmp_path.glob("*.partial")) == []


def test_fingerprints_follow_texts_weights_and_tokeniser() -> None:
    data = pairs_with_duplicates()
    first = make_corpus(data).fingerprint
    assert make_corpus(Dataset.from_dict(data.to_dict())).fingerprint == first
    swapped = data.to_dict()
    swapped["positive"] = swapped["positive"][::-1]
    assert make_corpus(Dataset.from_dict(swapped)).fingerprint["data"] != first["data"]
    assert make_corpus(data, sentences()).fingerprint["corpus"] != first["corpus"]
    torch.manual_seed(0)
    encoder = SentenceEncoder(tiny_bert(), tiny_tokenizer())
    before = model_fingerprint(encoder)
    encoder.encode(["a man sits", "a dog"], batch_size=1)  # the tokeniser keeps how it was last called
    assert model_fingerprint(encoder) == before and before.startswith("BertModel ")
    encoder.tokenizer.add_tokens(["zebra"])
    added = model_fingerprint(encoder)
    with torch.no_grad():
        next(encoder.parameters())[0, 0] += 1e-3
    assert len({before, added, model_fingerprint(encoder)}) == 3


def test_a_work_folder_of_other_settings_is_refused_by_the_key(tmp_path: Path) -> None:
    settings = {"k": 5, "margin": None}
    check_settings(tmp_path / "nowhere" / "mine.json", settings, "go")
    (tmp_path / "mine.json").write_text(json.dumps(settings))
    check_settings(tmp_path / "mine.json", settings, "go")
    with pytest.raises(RecipeError, match=r"differ in margin \(not set -> 0.1\); choose another$"):
        check_settings(tmp_path / "mine.json", {"k": 5, "margin": 0.1}, "choose another")
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(RecipeError, match="mine.json: not JSON"):
        check_settings(tmp_path / "mine.json", settings, "go")
    (tmp_path / "mine.json").rename(tmp_path / "mine.json.partial")
    check_settings(tmp_path / "mine.json", settings, "go")  # killed while it was first written
    (tmp_path / "00000.npy").touch()
    with pytest.raises(RecipeError, match="no mine.json"):
        check_settings(tmp_path / "mine.json", settings, "go")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": {"k": 0}}, "k: must be positive"),
        ({"rules": {"range_min": -1}}, "range_min: must be 0"),
        ({"rules": {"k": 5, "range_min": 3, "range_max": 7}}, "set range_max to 8"),
        ({"rules": {"max_percent": 95}}, "0.95 for 95 %"),
        ({"rules": {"margin": -0.1}}, "margin: is a difference"),
        ({"rules": {"max_score": 2}}, "max_score: is a cosine"),
        ({"index": "hnsw"}, "unknown index 'hnsw'; choose one of auto, flat, ivf"),
        ({"pooler": "clss"}, "unknown pooler 'clss'"),
        ({"positive": "b"}, "positive: needs anchor"),
        ({"corpus_column": "b"}, "corpus_column: needs corpus"),
        ({"shard_size": 0}, "shard_size: must be positive"),
        ({"max_length": 2}, "max_length: must be at least 3"),
        ({"device": "gpu"}, "device: 'gpu' is none"),
    ],
    ids=str,
)
def test_settings_are_checked_first(options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        rules = Rules(**options.pop("rules", {}))
        MiningSettings("data", "model", Path("out"), rules, **options)


def test_where_the_output_goes(tmp_path: Path) -> None:
    (tmp_path / "v1.5").mkdir()
    for given, file in (("a.parquet", "a.parquet"), ("b.JSONL", "b.JSONL"), ("c", "c/mined.parquet")):
        assert MiningSettings("d", "m", tmp_path / given).file == tmp_path / file
    settings = MiningSettings("d", "m", tmp_path / "v1.5")
    assert settings.work == tmp_path / "v1.5/mined.parquet.work"
    with pytest.raises(RecipeError, match="neither a folder nor one of"):
        check_output(MiningSettings("d", "m", tmp_path / "x.csv"))
    check_output(settings)
    settings.file.write_text("of another program")
    with pytest.raises(RecipeError, match="exists and was not begun here"):
        check_output(settings)
    settings.work.mkdir()
    check_output(settings)  # begun here
    with pytest.raises(RecipeError, match="cannot be written"):
        check_output(MiningSettings("d", "m", settings.file / "inside.jsonl"))


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(RecipeError, match=r"pip install 'hf-contrastive\[faiss\]'"):
        index.load_faiss()
