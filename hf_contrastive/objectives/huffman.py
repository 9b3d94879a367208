"""Hierarchical softmax: a word is the turns on its way down a Huffman tree (Morin and Bengio, 2005; Mikolov, 2013)."""

import heapq
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class HuffmanTree(NamedTuple):
    """Codes of V words.

    Attributes:
        nodes: int64 [V, L], inner nodes (0..V-2, the root is V-2) on the way from each word up to the root; 0 pads.
        turns: float32 [V, L], +1 left, -1 right, 0 where the way is shorter.
    """

    nodes: Tensor
    turns: Tensor


def huffman_tree(counts: Tensor) -> HuffmanTree:
    """The tree whose expected code length under `counts` [V] is least.

    Raises:
        ValueError: fewer than two words, or a negative count.
    """
    size = len(counts)
    if size < 2 or bool((counts < 0).any()):
        raise ValueError(f"a Huffman tree needs at least two words with counts, none negative; got {size}")
    ties = count()
    heap = [(weight, next(ties), node) for node, weight in enumerate(counts.tolist())]
    heapq.heapify(heap)
    parent, turn = np.zeros(2 * size - 1, dtype=np.int64), np.zeros(2 * size - 1, dtype=np.float32)
    for inner in range(size, 2 * size - 1):
        (first, _, left), (second, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        parent[left], parent[right] = inner, inner
        turn[left], turn[right] = 1.0, -1.0
        heapq.heappush(heap, (first + second, next(ties), inner))
    # All words climb to the root together, a level at a time.
    at, root = np.arange(size), 2 * size - 2
    nodes, turns = [], []
    while (climbing := at != root).any():
        nodes.append(np.where(climbing, parent[at] - size, 0))
        turns.append(np.where(climbing, turn[at], 0.0))
        at = np.where(climbing, parent[at], root)
    return HuffmanTree(torch.from_numpy(np.stack(nodes, 1)), torch.from_numpy(np.stack(turns, 1).astype(np.float32)))


class HierarchicalSoftmax(nn.Module):
    """-log P(word | h) = sum over the word's way of -log sigmoid(turn * (node . h)).

    Args:
        counts: [V], of the words.
    """

    nodes: Tensor
    turns: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        tree = huffman_tree(counts)
        self.register_buffer("nodes", tree.nodes, persistent=False)
        self.register_buffer("turns", tree.turns, persistent=False)

    def forward(self, words: Tensor, node_rows: Tensor, hidden: Tensor, pairs: Tensor) -> Tensor:
        """Mean loss of the pairs.

        Args:
            words: [G, T], predicted words.
            node_rows: [G, T, L, D], rows of the nodes on their ways (`nodes[words]`).
            hidden: [G, S, D], what they are predicted from.
            pairs: bool [G, T, S], which of them predicts which word.
        """
        groups, words_a_group, length, width = node_rows.shape
        scores = torch.bmm(node_rows.reshape(groups, -1, width), hidden.transpose(1, 2))
        turns = self.turns[words].unsqueeze(-1)  # [G, T, L, 1]
        losses = softplus(-turns * scores.view(groups, words_a_group, length, -1))
        used = pairs.unsqueeze(2) & (turns != 0)
        return losses.masked_fill(~used, 0.0).sum() / pairs.sum().clamp(min=1)
