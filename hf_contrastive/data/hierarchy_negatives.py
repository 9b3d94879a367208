"""Pairs that are not in a hierarchy, to tell from those that are; drawn for whole arrays at a time."""

import numpy as np

from hf_contrastive.data.hierarchy_files import among

NEGATIVE_KINDS = ("random_child", "random_ancestor", "reversed", "sibling")
"""Names of the kinds, by their number: the child or the ancestor of a pair replaced by any concept, the pair turned
round, and a child with a sibling in its ancestor's place."""

RANDOM_CHILD, RANDOM_ANCESTOR, REVERSED, SIBLING = range(4)
RANDOM_KINDS = (RANDOM_CHILD, RANDOM_ANCESTOR)


def unfiltered_corruptions(pairs: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Either end of each pair replaced by any concept, whatever comes of it, as Vendrov et al. (2016) do.

    Args:
        pairs: int64 [M, 2], (child, ancestor).
        size: concepts.

    Returns:
        pairs [M, 2] and their kinds, int8 [M].
    """
    kinds = rng.integers(0, 2, len(pairs), dtype=np.int8)
    corrupted = pairs.copy()
    corrupted[np.arange(len(pairs)), kinds] = rng.integers(0, size, len(pairs))
    return corrupted, kinds


class TrueNegatives:
    """Draws of pairs that are none of the known ones.

    Args:
        known: int64 [N, 2], all true pairs, distinct.
        size: concepts.
    """

    def __init__(self, known: np.ndarray, size: int) -> None:
        self.size = size
        child, ancestor = known.T
        itself = np.arange(size)
        # No concept stands in for one that would make a true pair, nor is it paired with itself.
        self._children_of = _Others(np.append(ancestor, itself), np.append(child, itself), size)
        self._ancestors_of = _Others(np.append(child, itself), np.append(ancestor, itself), size)
        self._keys = np.sort(child * size + ancestor)
        self._siblings = _Siblings(_nearest_ancestor(known, size))

    def draw(self, pairs: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Negatives of every kind for each of `pairs` [M, 2], where there are any.

        First one random corruption a pair, in the order of the pairs: its child or ancestor, as a coin falls, replaced
        by a concept drawn evenly from all that make no true pair. If there is none, as for the children of the root,
        it is the other end. Then every pair turned round, and each child with one of its siblings, the concepts with
        the same nearest ancestor.

        Returns:
            pairs [K, 2] and their kinds, int8 [K]; a pair has no corruption if every other concept is above its child
            and below its ancestor, no sibling if its child has none.
        """
        random, random_kinds = self._random(pairs, rng)
        siblings = self._siblings.draw(pairs[:, 0], rng)
        beside = np.stack([pairs[:, 0], siblings], 1)[siblings >= 0]
        parts = [(random, random_kinds), (self._unknown(pairs[:, ::-1]), REVERSED), (self._unknown(beside), SIBLING)]
        kinds = [np.broadcast_to(np.asarray(kind, dtype=np.int8), len(part)) for part, kind in parts]
        return np.concatenate([part for part, _ in parts]), np.concatenate(kinds)

    def _random(self, pairs: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        child, ancestor = pairs.T
        rooms = np.stack([self._children_of.room(ancestor), self._ancestors_of.room(child)], 1)
        kinds = rng.integers(0, 2, len(pairs), dtype=np.int8)
        stuck = rooms[np.arange(len(pairs)), kinds] == 0
        kinds[stuck] = 1 - kinds[stuck]
        corrupted = pairs.copy()
        for kind, others, kept in ((RANDOM_CHILD, self._children_of, 1), (RANDOM_ANCESTOR, self._ancestors_of, 0)):
            rows = (kinds == kind) & (rooms[:, kind] > 0)
            corrupted[rows, kind] = others.draw(pairs[rows, kept], rng)
        possible = rooms.any(1)
        return corrupted[possible], kinds[possible]

    def _unknown(self, pairs: np.ndarray) -> np.ndarray:
        """Those of `pairs` that are not true."""
        return pairs[~among(pairs[:, 0] * self.size + pairs[:, 1], self._keys)]


class _Others:
    """What is no member of a group, drawn evenly and without a list of it.

    Args:
        groups, members: int64 [N], distinct pairs; every group has a member.
        size: groups and members are numbers below it.
    """

    def __init__(self, groups: np.ndarray, members: np.ndarray, size: int) -> None:
        order = np.lexsort((members, groups))
        groups, members = groups[order], members[order]
        self._starts = np.searchsorted(groups, np.arange(size + 1))
        # Member j of a group (from 0) has member - j others below it: so many ranks come before it.
        self._ranks = groups * (size + 1) + members - (np.arange(len(groups)) - self._starts[groups])
        self._size = size

    def room(self, groups: np.ndarray) -> np.ndarray:
        """How many are no members, [B]."""
        return self._size - (self._starts[groups + 1] - self._starts[groups])

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One for each of `groups` [B], which all have room."""
        rank = rng.integers(0, self.room(groups))
        below = np.searchsorted(self._ranks, groups * (self._size + 1) + rank, side="right")
        return rank + below - self._starts[groups]


class _Siblings:
    """Concepts with the same parent.

    Args:
        parents: int64 [size], -1 where a concept has none.
    """

    def __init__(self, parents: np.ndarray) -> None:
        self._parents = parents
        self._order = np.argsort(parents, kind="stable")
        self._place = np.empty_like(self._order)
        self._place[self._order] = np.arange(len(parents))
        self._starts = np.searchsorted(parents[self._order], np.arange(len(parents) + 1))

    def draw(self, concepts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A sibling of each of `concepts` [B], evenly; -1 where there is none."""
        parents = self._parents[concepts]
        start, end = self._starts[parents], self._starts[parents + 1]
        others = np.where(parents >= 0, end - start - 1, 0)
        place = start + rng.integers(0, np.maximum(others, 1))
        place += place >= self._place[concepts]  # never the concept itself
        return np.where(others > 0, self._order[np.minimum(place, len(self._order) - 1)], -1)


def _nearest_ancestor(known: np.ndarray, size: int) -> np.ndarray:
    """The ancestor with the most ancestors of its own, -1 for a root: in a closed hierarchy it is a direct parent."""
    child, ancestor = known.T
    height = np.bincount(child, minlength=size)
    order = np.lexsort((-ancestor, height[ancestor], child))  # of several, the one that comes first in the names
    nearest = np.full(size, -1, dtype=np.int64)
    nearest[child[order]] = ancestor[order]  # the last of a child's stays
    return nearest
