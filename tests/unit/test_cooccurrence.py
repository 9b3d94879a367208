"""Words near each other against a double loop, and the set of known pairs they are kept in."""

import logging
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_contrastive.data import Vocabulary, WordCorpus, cooccurrence, known_cooccurrences
from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import KnownPairs

WORDS = 12


def corpus_of(sentences: list[list[int]], words: int = WORDS) -> WordCorpus:
    ids = np.array(sum(sentences, []), dtype=np.int32)
    starts = np.cumsum([0, *map(len, sentences)], dtype=np.int64)
    counts = np.bincount(ids, minlength=words)
    return WordCorpus(ids, starts, Vocabulary([f"w{number}" for number in range(words)], counts, len(ids)))


def counted(sentences: list[list[int]], window: int) -> Counter[tuple[int, int]]:
    pairs: Counter[tuple[int, int]] = Counter()
    for sentence in sentences:
        for place, word in enumerate(sentence):
            for other in range(max(place - window, 0), min(place + window + 1, len(sentence))):
                if other != place:
                    pairs[word, sentence[other]] += 1
    return pairs


def listed(known: KnownPairs, words: int = WORDS) -> set[tuple[int, int]]:
    every = torch.arange(words)
    return {(a, b) for a, b in known.contain(every, every.unsqueeze(0)).nonzero().tolist()}


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=20),
    st.integers(1, 12),
    st.integers(1, 4),
    st.sampled_from([(1 << 23, 1 << 24), (1, 2), (7, 3), (20, 40)]),
)
def test_pairs_equal_a_double_loop(
    sentences: list[list[int]], window: int, min_count: int, sizes: tuple[int, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrence, "_BLOCK", sizes[0])
        patch.setattr(cooccurrence, "_MOST", sizes[1])
        known = known_cooccurrences(corpus_of(sentences), window, min_count)
    wanted = {pair for pair, count in counted(sentences, window).items() if count >= min_count}
    assert listed(known) == wanted
    assert len(known) == len(wanted)


def test_counts_are_exact_where_the_table_overflows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(0)
    sentences = [rng.choices(range(300), k=rng.randrange(1, 40)) for _ in range(200)]
    counts = counted(sentences, 4)
    for min_count in (1, 2, 3):
        monkeypatch.setattr(cooccurrence, "_BLOCK", 1000)
        monkeypatch.setattr(cooccurrence, "_MOST", 1500)
        wanted = {pair for pair, count in counts.items() if count >= min_count}
        rare = len(counts) - len(wanted)
        with caplog.at_level(logging.INFO):
            assert listed(known_cooccurrences(corpus_of(sentences, 300), 4, min_count), 300) == wanted
        assert caplog.messages[-1] == (
            f"{len(wanted):,} ordered pairs of words occur within 4 words of each other; {rare:,} that do "
            f"less than min_count = {min_count} times are left out"
        )


def test_sentences_of_one_word_have_no_pairs() -> None:
    known = known_cooccurrences(corpus_of([[0], [1], [0]]), 5)
    assert len(known) == 0 and listed(known) == set()


def test_large_ids_do_not_overflow() -> None:
    ids, starts = np.array([2**31 - 1, 2**31 - 2, 0], dtype=np.int32), np.array([0, 3])
    known = known_cooccurrences(WordCorpus(ids, starts, Vocabulary([], np.empty(0), 3)), 1)
    keys = torch.tensor([2**31 - 1, 2**31 - 2, 0])
    assert known.contain(keys, keys.unsqueeze(0)).tolist() == [
        [False, True, False],
        [True, False, True],
        [False, True, False],
    ]


@pytest.mark.parametrize(("window", "min_count"), [(0, 1), (1, 0)])
def test_settings_out_of_range_are_refused(window: int, min_count: int) -> None:
    with pytest.raises(RecipeError, match="must be at least 1, got 0"):
        known_cooccurrences(corpus_of([[0, 1]]), window, min_count)


def test_known_pairs_of_words_take_four_bytes() -> None:
    known = known_cooccurrences(corpus_of([list(range(WORDS))] * 2), 3)
    assert known.candidates.dtype == torch.int32
    assert len(known.candidates) == len(known) and len(known.anchors) == len(known.starts) - 1 == WORDS


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12), st.booleans())
def test_known_pairs_are_the_same_sorted_or_not(pairs: list[tuple[int, int]], narrow: bool) -> None:
    kind = torch.int32 if narrow else torch.int64
    for order in (pairs, pairs + pairs, sorted(set(pairs))):
        keys = torch.tensor(order, dtype=kind).reshape(-1, 2)
        known = KnownPairs(keys[:, 0], keys[:, 1])
        assert listed(known, 5) == set(pairs) and len(known) == len(set(pairs))


def test_sorted_pairs_are_not_copied() -> None:
    candidates = torch.tensor([1, 5, 0])
    known = KnownPairs(torch.tensor([3, 3, 8]), candidates)
    assert known.candidates.data_ptr() == candidates.data_ptr()
