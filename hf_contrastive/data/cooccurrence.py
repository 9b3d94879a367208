"""Which words occur near which, counted exactly: what a draw of a negative should not hit."""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from tqdm.auto import tqdm

from hf_contrastive.data.word_corpus import WordCorpus
from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import KnownPairs

logger = logging.getLogger(__name__)

# A pair of ids as one number, first << 32 | second: the order of the numbers is that of the pairs.
_SECOND = (1 << 32) - 1
_END = 1 << 62  # above every pair
_BLOCK = 1 << 23  # pairs counted at a time
_MOST = 1 << 24  # pairs in the table of counts; what is beyond is counted in another pass over the corpus


def known_cooccurrences(corpus: WordCorpus, window: int, min_count: int = 1) -> KnownPairs:
    """Ordered pairs of word ids that stand within `window` words of each other in a sentence.

    (a, b) counts once for every place of a and other place of b at most `window` apart, which is how often skip-gram
    with a fixed window trains it; so two neighbouring places of one word count (a, a) twice.

    Args:
        window: words to each side. Words without an entry in the vocabulary are not there and take no room.
        min_count: pairs that occur less often are left out, and counted in the log.

    Returns:
        Anchor and candidate keys are word ids. About 4 bytes a pair.

    Raises:
        RecipeError: `window` or `min_count` below 1.
    """
    for name, value in (("window", window), ("min_count", min_count)):
        if value < 1:
            raise RecipeError(f"{name}: must be at least 1, got {value}")
    parts, start, left_out = [np.empty(0, dtype=np.int64)], 0, 0
    with tqdm(total=0, desc="count pairs of words", unit="words", unit_scale=True) as bar:
        while start < _END:
            pairs, counts, start = _count_from(start, corpus, window, bar)
            kept = counts >= min_count
            left_out += _ordered(pairs[~kept])
            parts.append(pairs[kept])
    pairs = np.concatenate(parts)
    parts.clear()
    pairs = np.concatenate([pairs, _swapped(pairs)])
    pairs.sort()
    logger.info(
        "%s ordered pairs of words occur within %d words of each other; %s that do less than min_count = %d times are "
        "left out",
        f"{len(pairs):,}",
        window,
        f"{left_out:,}",
        min_count,
    )
    first, second = np.empty(len(pairs), dtype=np.int32), np.empty(len(pairs), dtype=np.int32)
    np.right_shift(pairs, 32, out=first, casting="unsafe")
    np.bitwise_and(pairs, _SECOND, out=second, casting="unsafe")
    return KnownPairs(torch.from_numpy(first), torch.from_numpy(second))


def _count_from(start: int, corpus: WordCorpus, window: int, bar: tqdm) -> tuple[np.ndarray, np.ndarray, int]:
    """Pairs from `start` on with their counts over the whole corpus, as many as `_MOST` allows, and where they end."""
    pairs, counts, end = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), _END
    bar.total += len(corpus.ids)
    for words, block in _blocks(corpus, window):
        if start > 0 or end < _END:
            block = block[(block >= start) & (block < end)]
        pairs, counts = _merged(pairs, counts, *np.unique(block, return_counts=True))
        if len(pairs) > _MOST:
            # Half of them, whose counts are complete when the corpus has been gone through; the others wait.
            end = int(pairs[_MOST // 2])
            pairs, counts = pairs[: _MOST // 2].copy(), counts[: _MOST // 2].copy()
        bar.update(words)
    counts[pairs >> 32 == pairs & _SECOND] *= 2
    return pairs, counts, end


def _blocks(corpus: WordCorpus, window: int) -> Iterator[tuple[int, np.ndarray]]:
    """Words of a block, and its pairs, each once, the smaller id first."""
    size = max(_BLOCK // window, 1)
    for start in range(0, len(corpus.ids), size):
        ids = np.asarray(corpus.ids[start : start + size + window], dtype=np.int64)
        words = min(size, len(corpus.ids) - start)
        # How many words of its sentence stand behind each word.
        places = np.arange(start, start + words)
        behind = corpus.starts[np.searchsorted(corpus.starts, places, side="right")] - places - 1
        parts = []
        for distance in range(1, window + 1):
            near = np.flatnonzero(behind >= distance)
            left, right = ids[near], ids[near + distance]
            parts.append(np.minimum(left, right) << 32 | np.maximum(left, right))
        yield words, np.concatenate(parts)


def _merged(
    pairs: np.ndarray, counts: np.ndarray, more: np.ndarray, more_counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two sorted tables of distinct pairs as one."""
    place = np.searchsorted(pairs, more)
    there = np.zeros(len(more), dtype=bool)
    inside = place < len(pairs)
    there[inside] = pairs[place[inside]] == more[inside]
    counts[place[there]] += more_counts[there]
    new, place = ~there, place[~there]
    return np.insert(pairs, place, more[new]), np.insert(counts, place, more_counts[new])


def _swapped(pairs: np.ndarray) -> np.ndarray:
    """(b, a) for every (a, b) of two different words."""
    first, second = pairs >> 32, pairs & _SECOND
    return (second << 32 | first)[first != second]


def _ordered(pairs: np.ndarray) -> int:
    """How many ordered pairs they stand for."""
    return 2 * len(pairs) - int((pairs >> 32 == pairs & _SECOND).sum())
