"""Huffman codes by what defines them, and the probabilities they give."""

import bisect
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_contrastive.objectives import HierarchicalSoftmax, HuffmanTree, huffman_tree

COUNTS = st.lists(st.one_of(st.integers(0, 6), st.integers(0, 10**12)), min_size=2, max_size=40)


def ways(tree: HuffmanTree) -> list[list[tuple[int, int]]]:
    """From the root to each word: inner nodes, and the turn that is taken there."""
    found = []
    for nodes, turns in zip(tree.nodes.tolist(), tree.turns.tolist(), strict=True):
        length = sum(turn != 0 for turn in turns)
        assert all(turns[:length]) and not any(turns[length:]) and not any(nodes[length:])
        found.append([(node, int(turn)) for node, turn in zip(nodes[:length], turns[:length], strict=True)][::-1])
    return found


@settings(deadline=None)
@given(COUNTS)
def test_ways_make_a_whole_binary_tree(counts: list[int]) -> None:
    """One root, two children a node, and every word at an end: the codes are prefix-free and use up all there is."""
    tree = huffman_tree(torch.tensor(counts))
    assert tree.nodes.dtype == torch.long and tree.turns.dtype == torch.float32
    codes = [tuple(turn for _, turn in way) for way in ways(tree)]
    assert {turn for code in codes for turn in code} <= {-1, 1}
    prefixes = {code[:end] for code in codes for end in range(len(code))}
    assert len(set(codes)) == len(counts) and not prefixes & set(codes)
    assert sum(Fraction(1, 2 ** len(code)) for code in codes) == 1
    place = {code[:at]: way[at][0] for code, way in zip(codes, ways(tree), strict=True) for at in range(len(code))}
    for code, way in zip(codes, ways(tree), strict=True):
        assert [place[code[:at]] for at in range(len(code))] == [node for node, _ in way]
    assert sorted(place.values()) == list(range(len(counts) - 1))
    assert place[()] == len(counts) - 2


@settings(deadline=None)
@given(COUNTS)
def test_no_code_is_shorter_on_the_average(counts: list[int]) -> None:
    """What all inner nodes weigh when the two lightest are joined again and again; and Shannon's bounds."""
    lengths = (huffman_tree(torch.tensor(counts)).turns != 0).sum(1).tolist()
    total = sum(length * count for length, count in zip(lengths, counts, strict=True))
    weights, least = sorted(counts), 0
    while len(weights) > 1:
        joined = weights[0] + weights[1]
        least += joined
        del weights[:2]
        bisect.insort(weights, joined)
    assert total == least
    if sum(counts):
        entropy = -sum(c / sum(counts) * math.log2(c / sum(counts)) for c in counts if c)
        assert entropy - 1e-9 <= total / sum(counts) <= entropy + 1 + 1e-9


def test_a_tree_by_hand() -> None:
    """1 + 1 = 2 is node 0; 2 + 2 = 4 is node 1, with the word first; 4 + 5 is the root, with the lighter side left."""
    tree = huffman_tree(torch.tensor([5, 2, 1, 1]))
    assert ways(tree) == [[(2, -1)], [(2, 1), (1, 1)], [(2, 1), (1, -1), (0, 1)], [(2, 1), (1, -1), (0, -1)]]
    assert tree.nodes.tolist() == [[2, 0, 0], [1, 2, 0], [0, 1, 2], [0, 1, 2]]
    two = huffman_tree(torch.tensor([3, 4]))
    assert two.nodes.tolist() == [[0], [0]] and two.turns.tolist() == [[1], [-1]]


@pytest.mark.parametrize("counts", [[], [7], [3, -1, 2]], ids=str)
def test_refuses_what_has_no_tree(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="a Huffman tree needs at least two words with counts, none negative"):
        huffman_tree(torch.tensor(counts))


@pytest.mark.parametrize("size", [2, 3, 17])
def test_probabilities_of_all_words_sum_to_one(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    objective = HierarchicalSoftmax(torch.randint(1, 100, (size,), generator=generator)).double()
    table = 3 * torch.randn(size - 1, 4, generator=generator, dtype=torch.float64)
    hidden = torch.randn(1, 1, 4, generator=generator, dtype=torch.float64)
    words = torch.arange(size).unsqueeze(1)
    losses = [
        objective(word.unsqueeze(0), table[objective.nodes[word]].unsqueeze(0), hidden, torch.ones(1, 1, 1).bool())
        for word in words
    ]
    assert all(loss > 0 for loss in losses) and len({loss.item() for loss in losses}) == size
    assert sum(math.exp(-loss) for loss in losses) == pytest.approx(1, rel=1e-12)


def test_the_loss_is_a_mean_over_the_pairs_that_are_there() -> None:
    generator = torch.Generator().manual_seed(0)
    objective = HierarchicalSoftmax(torch.tensor([9, 5, 4, 2, 1])).double()
    table = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    words, hidden = (
        torch.tensor([[0, 4, 2], [3, 3, 1]]),
        torch.randn(2, 4, 3, generator=generator, dtype=torch.float64),
    )
    pairs = torch.rand(2, 3, 4, generator=generator) < 0.4

    def loss(groups: slice, pairs: torch.Tensor) -> float:
        return objective(words[groups], table[objective.nodes[words[groups]]], hidden[groups], pairs).item()

    apart = []
    for g, t, s in pairs.nonzero().tolist():
        alone = torch.zeros(1, 3, 4, dtype=torch.bool)
        alone[0, t, s] = True
        apart.append(loss(slice(g, g + 1), alone))
    assert 1 < len(apart) < pairs.numel()
    assert loss(slice(None), pairs) == pytest.approx(sum(apart) / len(apart), rel=1e-12)
    assert loss(slice(None), torch.zeros_like(pairs)) == 0
