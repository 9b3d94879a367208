"""From running words to pairs of word and neighbour, in blocks, without a loop over pairs."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass
class Windows:
    """A text cut into G blocks of T centres, each with the w words before and behind the block.

    Attributes:
        centers: [G, T], word ids; those behind the end of the text have no pairs.
        words: [G, T + 2w], word ids; `words[:, w:w + T]` are the centres.
        pairs: bool [G, T, T + 2w], which words are neighbours of which centre.
    """

    centers: Tensor
    words: Tensor
    pairs: Tensor


def keep_probability(counts: Tensor, threshold: float) -> Tensor:
    """Chance [V] of a running word to be kept (word2vec's subsampling of frequent words).

    sqrt(t / f) + t / f for a word of frequency f, at most 1, as in word2vec.c; Mikolov et al. (2013, equation 5) write
    sqrt(t / f).

    Args:
        counts: [V].
        threshold: t; 0 keeps everything.
    """
    if threshold <= 0:
        return torch.ones(len(counts))
    ratio = threshold * counts.sum().double() / counts.double().clamp(min=1)
    return (ratio.sqrt() + ratio).clamp(max=1).float()


def make_windows(
    words: Tensor,
    sentences: Tensor,
    window: int,
    block: int,
    dynamic: bool = True,
    generator: torch.Generator | None = None,
    multiple: int = 1,
) -> Windows:
    """Pair every word with its neighbours in its sentence.

    Args:
        words: [N], ids of running words.
        sentences: [N], equal where two words are of one sentence; sentences stand together.
        window: w, words to each side at most.
        block: T, centres a block.
        dynamic: draw each centre's own width from 1..w, all equally likely, as word2vec does; else always w.
        generator: random numbers of the draws.
        multiple: of which the number of blocks is one; the last ones may have no pairs.
    """
    device, count = words.device, len(words)
    blocks = multiple * max(1, -(-count // (block * multiple)))  # also a text of which nothing was kept has some
    padding = (window, blocks * block - count + window)
    rows = pad(words, padding).unfold(0, block + 2 * window, block)
    texts = pad(sentences, padding, value=-1).unfold(0, block + 2 * window, block)
    if dynamic:
        width = torch.randint(1, window + 1, (blocks, block, 1), generator=generator, device=device)
    else:
        width = torch.full((1, 1, 1), window, device=device)
    place = torch.arange(block + 2 * window, device=device) - window
    distance = (place.unsqueeze(0) - torch.arange(block, device=device).unsqueeze(1)).abs()  # [T, T + 2w]
    centers = slice(window, window + block)
    pairs = (distance <= width) & (distance > 0) & (texts[:, centers, None] == texts[:, None, :])
    pairs &= (texts[:, centers] >= 0).unsqueeze(2)
    return Windows(rows[:, centers], rows, pairs)
