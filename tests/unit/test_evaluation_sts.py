import hashlib
import json
import logging
import math
from collections import Counter

import datasets
import pytest
import torch
from test_evaluation_geometry import reference_spearman, reference_uniformity, squared_distance

from hf_contrastive.errors import CheckpointError, DataError
from hf_contrastive.evaluation import STS_TASKS, encoding, evaluate_pairs, evaluate_sts, load_sts_pairs, sts
from hf_contrastive.evaluation.encoding import EncodedSentences

HEADER = ("subset", "score", "sentence1", "sentence2")


def angle(sentences):
    """A sentence is an angle in degrees; so is its vector."""
    radians = torch.tensor([float(sentence) for sentence in sentences]).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def write_tsv(path, rows, header=HEADER):
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# Within A the ranking is perfect, within B it is reversed.
TWO_SUBSETS = [
    ("A", 3, 0, 10),
    ("A", 2, 0, 20),
    ("A", 1, 0, 30),
    ("B", 1, 0, 5),
    ("B", 2, 0, 40),
    ("B", 3, 0, 50),
    ("B", 4, 0, 60),
    ("B", 5, 0, 70),
]


def test_all_mean_and_wmean_are_three_numbers(tmp_path):
    write_tsv(tmp_path / "STS12.tsv", TWO_SUBSETS)
    score = evaluate_sts(angle, tmp_path, tasks=["STS12"], progress=False).scores["STS12"]
    cosines = [math.cos(math.radians(degrees)) for *_, degrees in TWO_SUBSETS]
    everything = reference_spearman(cosines, [gold for _, gold, _, _ in TWO_SUBSETS])
    assert score.spearman == pytest.approx(everything)
    assert score.subsets == pytest.approx({"A": 1.0, "B": -1.0})
    assert score.mean == pytest.approx(0.0)
    assert score.wmean == pytest.approx((3 * 1 + 5 * -1) / 8)
    assert len({round(value, 3) for value in (everything, score.mean, score.wmean)}) == 3


def test_the_benchmark_has_no_mean_over_subsets(tmp_path):
    write_tsv(tmp_path / "STSB-test.tsv", TWO_SUBSETS)
    score = evaluate_sts(angle, tmp_path, tasks=["STSBenchmark"], progress=False).scores["STSBenchmark"]
    assert (score.mean, score.wmean, score.subsets) == (None, None, {})


def test_each_distinct_sentence_is_encoded_once_over_all_tasks(tmp_path):
    write_tsv(tmp_path / "STS12.tsv", TWO_SUBSETS)
    write_tsv(tmp_path / "STS13.tsv", [("C", 1, 70, 0), ("C", 2, 80, 80)])
    seen = []

    def encode(sentences):
        assert isinstance(sentences, list)
        seen.append(sentences)
        return angle(sentences)

    result = evaluate_sts(encode, tmp_path, tasks=["STS12", "STS13"], progress=False)
    assert len(seen) == 1
    assert Counter(seen[0]) == Counter(["0", "10", "20", "30", "5", "40", "50", "60", "70", "80"])
    assert result.scores["STS13"].spearman == pytest.approx(1.0)
    assert result.average == pytest.approx((result.scores["STS12"].spearman + 1) / 2)


def test_chunks_keep_the_order_and_the_bar_counts_sentences(monkeypatch, capsys):
    monkeypatch.setattr(encoding, "_CHUNK", 3)
    names = [str(number) for number in range(10)]
    encoded = EncodedSentences(angle, names + names, progress=True)
    assert torch.equal(encoded[["7", "0", "7"]], angle(["7", "0", "7"]))
    assert "10/10" in capsys.readouterr().err


@pytest.mark.parametrize(
    "encode, error, message",
    [
        (lambda sentences: torch.ones(len(sentences) + 1, 2), ValueError, r"shape \(3, 2\) for 2 sentences"),
        (lambda sentences: torch.ones(len(sentences)), ValueError, "not \\[N, D\\]"),
        (lambda sentences: torch.tensor([[1.0], [math.nan]]), CheckpointError, "vector of 'b' is not finite"),
    ],
)
def test_what_encode_returns_is_checked(encode, error, message):
    with pytest.raises(error, match=message):
        EncodedSentences(encode, ["a", "b"])


def test_rows_other_than_the_published_ones_are_said_not_to_compare(tmp_path, caplog):
    write_tsv(tmp_path / "SICKR-test.tsv", TWO_SUBSETS)
    with caplog.at_level(logging.WARNING):
        result = evaluate_sts(angle, tmp_path, tasks=["SICKRelatedness"], progress=False)
    assert result.not_comparable == ["SICKRelatedness"]
    assert "8 rows where the published test set has 4927" in caplog.text


def test_the_hub_is_read_without_a_folder(tmp_path, monkeypatch):
    # A Hub dataset of the same shape: no subset column, a score of 0, columns in another order.
    rows = [
        {"sentence2": str(degrees), "sentence1": "0", "score": float(gold - 1)} for _, gold, _, degrees in TWO_SUBSETS
    ]
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "test.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    task = sts._TASKS["STS12"]._replace(hub_name=str(tmp_path / "repository"))
    monkeypatch.setitem(sts._TASKS, "STS12", task)
    result = evaluate_sts(angle, None, tasks=["STS12"], progress=False)
    write_tsv(tmp_path / "STS12.tsv", TWO_SUBSETS)
    from_folder = evaluate_sts(angle, tmp_path, tasks=["STS12"], progress=False)
    assert result.scores["STS12"].spearman == from_folder.scores["STS12"].spearman
    assert result.scores["STS12"].mean is None  # not told, so not claimed
    assert (result.source, from_folder.source) == ("Hub", str(tmp_path))


def test_unknown_tasks_and_missing_files_are_refused_before_encoding(tmp_path):
    def encode(sentences):
        raise AssertionError("nothing should be encoded")

    with pytest.raises(DataError, match="unknown STS task 'STS11'; choose from STS12"):
        evaluate_sts(encode, tmp_path, tasks=["STS11"])
    write_tsv(tmp_path / "STS12.tsv", TWO_SUBSETS)
    with pytest.raises(DataError, match="STS13.tsv: no such file"):
        evaluate_sts(encode, tmp_path, tasks=["STS12", "STS13"])


def test_dev_metrics_equal_double_loops(tmp_path):
    rows = [("d", 5, 0, 3), ("d", 4.2, 10, 30), ("d", 4, 10, 90), ("d", 1, 0, 200)]
    pairs = load_sts_pairs(write_tsv(tmp_path / "dev.tsv", rows))
    metrics = evaluate_pairs(angle, pairs)
    positives = [(a, b) for _, gold, a, b in rows if gold > 4]
    assert len(positives) == 2
    vector = {degrees: angle([degrees])[0].double().tolist() for _, _, *pair in rows for degrees in pair}
    expected = sum(squared_distance(vector[a], vector[b]) for a, b in positives) / 2
    assert metrics["alignment"] == pytest.approx(expected, abs=1e-6)
    distinct = torch.tensor(list(vector.values()))  # 0 and 10 occur twice and count once
    assert metrics["uniformity"] == pytest.approx(reference_uniformity(distinct, 2), abs=1e-6)
    assert metrics["spearman"] == pytest.approx(1.0)


def test_scores_on_another_scale_have_the_same_positives(tmp_path):
    rows = [("d", 5, 0, 3), ("d", 4.2, 10, 30), ("d", 4, 10, 90), ("d", 1, 0, 200)]
    scaled = [(subset, score / 5, *pair) for subset, score, *pair in rows]
    metrics = [evaluate_pairs(angle, load_sts_pairs(write_tsv(tmp_path / "x.tsv", r))) for r in (rows, scaled)]
    assert metrics[0] == metrics[1]


def test_alignment_is_left_out_without_two_positives(tmp_path):
    pairs = load_sts_pairs(write_tsv(tmp_path / "dev.tsv", [("d", 5, 0, 3), ("d", 1, 10, 30)]))
    assert set(evaluate_pairs(angle, pairs)) == {"spearman", "uniformity"}


def bag_of_words(sentences):
    """Counts of hashed words: needs no model, and is known to score well above chance."""
    vectors = torch.zeros(len(sentences), 512)
    for row, sentence in enumerate(sentences):
        for word in sentence.lower().split():
            vectors[row, int.from_bytes(hashlib.md5(word.encode()).digest()[:4]) % 512] += 1
    return vectors


@pytest.mark.shared
def test_real_tasks_have_the_published_rows(shared_data):
    result = evaluate_sts(bag_of_words, shared_data / "sts", progress=False)
    assert tuple(result.scores) == STS_TASKS
    assert [score.rows for score in result.scores.values()] == [3108, 1500, 3750, 3000, 1186, 1379, 4927]
    assert result.not_comparable == []
    subsets = {task: list(score.subsets) for task, score in result.scores.items()}
    assert subsets["STS13"] == ["FNWN", "headlines", "OnWN"]
    assert len(subsets["STS12"]) == 5
    assert 0.4 < result.average < 0.65
    assert all(score.spearman > 0.25 for score in result.scores.values())


@pytest.mark.shared
def test_real_dev_pairs(shared_data):
    pairs = load_sts_pairs(shared_data / "sts" / "STSB-dev.tsv")
    assert len(pairs) == 1500
    metrics = evaluate_pairs(bag_of_words, pairs)
    assert metrics["spearman"] > 0.4
    assert 0 < metrics["alignment"] < 2
