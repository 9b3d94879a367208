"""Running words cut into chunks, thinned out and paired, against plain loops over sentences."""

import logging
import math
from typing import Any

import numpy as np
import pytest
import torch

from hf_contrastive.data.vocabulary import Vocabulary
from hf_contrastive.data.word_chunks import WordChunks, collate_chunks
from hf_contrastive.data.word_corpus import WordCorpus
from hf_contrastive.training.words.windows import Windows, keep_probability, make_windows

LENGTHS = [[1], [9], [16], [8, 8], [5, 1, 30, 2], [1, 1, 1], [33], [15, 2]]


def text(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Word ids, 1 and up, and the number of each word's sentence, which need not begin at 0."""
    count = sum(lengths)
    ids = torch.randint(1, 50, (count,), generator=torch.Generator().manual_seed(count))
    return ids, torch.repeat_interleave(torch.arange(7, 7 + len(lengths)), torch.tensor(lengths))


def found_pairs(windows: Windows, window: int) -> list[tuple[int, int]]:
    """Places in the text of each centre and its neighbour."""
    block = windows.centers.shape[1]
    return sorted((g * block + t, g * block + s - window) for g, t, s in windows.pairs.nonzero().tolist())


def expected_pairs(lengths: list[int], widths: list[int]) -> list[tuple[int, int]]:
    pairs, start = [], 0
    for length in lengths:
        for i in range(start, start + length):
            for j in range(start, start + length):
                if i != j and abs(i - j) <= widths[i]:
                    pairs.append((i, j))
        start += length
    return sorted(pairs)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(("window", "block"), [(1, 4), (3, 4), (2, 16), (5, 3)])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_pairs_are_those_of_a_double_loop(lengths: list[int], window: int, block: int, dynamic: bool) -> None:
    ids, sentences = text(lengths)
    windows = make_windows(ids, sentences, window, block, dynamic, torch.Generator().manual_seed(4))
    blocks = math.ceil(len(ids) / block)
    assert windows.centers.shape == (blocks, block) and windows.words.shape == (blocks, block + 2 * window)
    draws = torch.randint(1, window + 1, (blocks, block, 1), generator=torch.Generator().manual_seed(4))
    widths = draws.flatten().tolist() if dynamic else [window] * blocks * block
    assert found_pairs(windows, window) == expected_pairs(lengths, widths)
    for g, t, s in windows.pairs.nonzero().tolist():
        assert windows.centers[g, t] == ids[g * block + t]
        assert windows.words[g, s] == ids[g * block + s - window]
    assert torch.equal(windows.centers, windows.words[:, window : window + block])


def test_a_width_is_drawn_from_1_to_the_window_all_equally_likely() -> None:
    window, count = 5, 20_000
    generator = torch.Generator().manual_seed(0)
    windows = make_windows(
        torch.ones(count, dtype=torch.long), torch.zeros(count, dtype=torch.long), window, 16, True, generator
    )
    distance = torch.tensor([abs(i - j) for i, j in found_pairs(windows, window)])
    for d in range(1, window + 1):  # a neighbour d words away is in the window of every width from d on
        assert (distance == d).sum().item() / (2 * count) == pytest.approx((window - d + 1) / window, abs=0.015)


def test_a_text_without_words_has_no_pairs() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    windows = make_windows(nothing, nothing, 2, 16)
    assert windows.pairs.shape == (1, 16, 20) and not windows.pairs.any()


@pytest.mark.parametrize("sample", [1e-3, 1e-4, 0.5])
def test_keep_probability_is_word2vecs(sample: float) -> None:
    """word2vec.c keeps a word where `ran` is not below a random number from [0, 1)."""
    counts = [60_000, 5_000, 300, 7, 1]
    train_words = sum(counts)
    expected = []
    for cn in counts:
        ran = (math.sqrt(cn / (sample * train_words)) + 1) * (sample * train_words) / cn
        expected.append(min(ran, 1.0))
    found = keep_probability(torch.tensor(counts), sample)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert sample == 0.5 or found[0] < 0.2


def test_a_threshold_of_0_keeps_everything_and_a_word_that_never_occurs_breaks_nothing() -> None:
    counts = torch.tensor([90, 10, 0])
    assert keep_probability(counts, 0.0).tolist() == [1, 1, 1]
    assert keep_probability(counts, 0.5).tolist() == [pytest.approx(r, abs=1e-6) for r in (1, 1, 1)]
    assert keep_probability(counts, 1e-3).isfinite().all()


# --- chunks ---


def corpus(lengths: list[int]) -> WordCorpus:
    count = sum(lengths)
    ids = np.arange(count, dtype=np.int32)
    words = Vocabulary([f"w{i}" for i in range(count)], np.ones(count, dtype=np.int64), count)
    return WordCorpus(ids, np.append(0, np.cumsum(lengths)), words)


def as_lists(row: dict[str, Any]) -> tuple[list[int], list[int]]:
    assert row["ids"].dtype == row["sentences"].dtype == torch.long
    return row["ids"].tolist(), row["sentences"].tolist()


@pytest.mark.parametrize("words", [1, 4, 7, 100])
@pytest.mark.parametrize("lengths", [*LENGTHS, [3, 17], [40, 1, 2, 2, 2]], ids=str)
def test_chunks_are_the_corpus_in_order_and_cut_only_long_sentences(lengths: list[int], words: int) -> None:
    chunks = WordChunks(corpus(lengths), words)
    rows = [as_lists(chunks[i]) for i in range(len(chunks))]
    assert sum((ids for ids, _ in rows), []) == list(range(sum(lengths)))
    assert sum((s for _, s in rows), []) == [s for s, length in enumerate(lengths) for _ in range(length)]
    for number, (ids, _) in enumerate(rows):
        assert 0 < len(ids) <= 2 * words
        assert len(ids) >= words or number == len(rows) - 1 or max(lengths) > words
    for (_, before), (_, after) in zip(rows, rows[1:], strict=False):
        assert before[-1] != after[0] or lengths[after[0]] > words, "a sentence was cut that is no longer than a chunk"


def test_cuts_are_counted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hf_contrastive"):
        WordChunks(corpus([5, 5, 5]), 6)
        assert not caplog.messages
        WordChunks(corpus([5, 20, 5]), 6)
    assert caplog.messages == ["1 sentences longer than 6 words were cut at 3 places"]


def test_a_batch_is_its_chunks_one_behind_the_other() -> None:
    chunks = WordChunks(corpus([3, 4, 2]), 3)
    batch = collate_chunks([chunks[1], chunks[0]])
    assert as_lists(batch) == ([3, 4, 5, 6, 0, 1, 2], [0, 0, 0, 0, 1, 1, 1])


def test_no_window_crosses_the_seam_of_chunks_cut_out_of_one_sentence() -> None:
    chunks = WordChunks(corpus([50]), 10)
    batch = collate_chunks([chunks[0], chunks[2], chunks[1]])
    found = make_windows(batch["ids"], batch["sentences"], 2, 16, dynamic=False)
    block, center, word = found.pairs.nonzero(as_tuple=True)
    pairs = zip(found.centers[block, center].tolist(), found.words[block, word].tolist(), strict=True)
    inside = [(a, b) for a in range(30) for b in range(30) if 0 < abs(a - b) <= 2 and a // 10 == b // 10]
    assert sorted(pairs) == inside
