"""What mining writes, where, and which settings and work folders it refuses."""

import json
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from helpers import tiny_bert, tiny_tokenizer
from mined import joined, pairs_with_duplicates, run, sentences, stored

from hf_contrastive.arguments import DataArguments
from hf_contrastive.data import load_training_data
from hf_contrastive.errors import RecipeError
from hf_contrastive.mining import MiningSettings, Rules
from hf_contrastive.mining.corpus import make_corpus
from hf_contrastive.mining.output import columns_of, write_output
from hf_contrastive.mining.settings import check_output
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.retrieval import index
from hf_contrastive.retrieval.fingerprint import model_fingerprint
from hf_contrastive.retrieval.work import check_settings


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
        ({"device": "gpu"}, "device: 'gpu' cannot be used"),
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
