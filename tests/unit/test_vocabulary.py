"""Vocabularies: their order, their files."""

import json
from pathlib import Path

import numpy as np
import pytest

from hf_contrastive.data import Vocabulary
from hf_contrastive.errors import DataError

COUNTED = {"rare": 1, "b": 3, "zebra": 2, "é": 3, "a": 3, "apple": 2, "the": 9}


@pytest.mark.parametrize(
    ("min_count", "most", "words"),
    [
        (1, None, "the a b é apple zebra rare"),
        (2, None, "the a b é apple zebra"),
        (2, 5, "the a b é apple"),  # a cap cuts inside a tie
        (3, 9, "the a b é"),
        (10, None, ""),
    ],
)
def test_vocabulary_is_ordered_by_count_then_alphabet(min_count: int, most: int | None, words: str) -> None:
    names, counts = list(COUNTED), np.array(list(COUNTED.values()))
    vocabulary, order = Vocabulary.choose(names, counts, min_count, most)
    assert vocabulary.words == words.split() == [names[place] for place in order]
    assert vocabulary.counts.tolist() == [COUNTED[word] for word in vocabulary.words]
    assert vocabulary.counts.dtype == np.int64
    assert vocabulary.total == 23 and len(vocabulary) == len(words.split())
    assert vocabulary.index == {word: place for place, word in enumerate(words.split())}


def test_vocabulary_round_trip(tmp_path: Path) -> None:
    Vocabulary(["the", "東京", "#"], np.array([2**40, 7, 7]), 2**41).save(tmp_path)
    assert (tmp_path / "vocab.tsv").read_bytes() == "the\t1099511627776\n東京\t7\n#\t7\n".encode()
    assert json.loads((tmp_path / "vocab_total.json").read_text()) == {"total": 2**41}
    loaded = Vocabulary.load(tmp_path)
    assert (loaded.words, loaded.counts.tolist(), loaded.total) == (["the", "東京", "#"], [2**40, 7, 7], 2**41)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vocab.tsv", "vocab_total.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\t2\nb 1\n", r"vocab.tsv, line 2: expected word<TAB>count, got 'b 1'; restore"),
        ("a\t2\nb\tx\n", r"vocab.tsv, line 2: expected word<TAB>count, got 'b\\tx'"),
        ("\t2\n", r"line 1: expected word<TAB>count"),
        ("a\t2\nb\t1", r"vocab.tsv, line 2: ends without a line feed"),
        ("a\t2\nb\t1\na\t1\n", r"vocab.tsv: word 'a' occurs twice"),
        (None, r"vocab.tsv or vocab_total.json cannot be read"),
    ],
)
def test_damaged_vocabularies_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    Vocabulary(["a"], np.array([1]), 1).save(tmp_path)
    (tmp_path / "vocab.tsv").unlink() if content is None else (tmp_path / "vocab.tsv").write_text(content)
    with pytest.raises(DataError, match=message):
        Vocabulary.load(tmp_path)


@pytest.mark.parametrize("word", ["a b", "a\t", "", "\u2028"])
def test_words_with_white_space_are_not_written(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match="empty or with white space"):
        Vocabulary([word], np.array([1]), 1).save(tmp_path)
    with pytest.raises(ValueError, match="1 words do not fit 2 counts"):
        Vocabulary([word], np.array([1, 2]), 1)
