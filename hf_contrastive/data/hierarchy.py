"""A hierarchy (child, ancestor) cut into train, dev and test, with pairs to tell the held-out ones from.

The published protocol (Vendrov et al., 2016; used by Bose et al., 2018) takes WordNet's hypernymy, an edge once for
each path between the two, and holds edges out of that list: about a fifth of those it holds out are in train as well.
It draws negatives without looking: about a seventh of them are true. It is here as `path_counted`, for numbers beside
the published ones; `filtered` is the same task without the leaks.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hf_contrastive.arguments import PROTOCOLS, one_of
from hf_contrastive.data.hierarchy_files import Edges, closed, read_edges
from hf_contrastive.data.hierarchy_negatives import NEGATIVE_KINDS, TrueNegatives, unfiltered_corruptions
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.negatives import KnownPairs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Pairs (child, ancestor) of concept ids, all tensors int64 on the CPU but for the kinds.

    Attributes:
        names: of the concepts; a concept's id is its place.
        pairs: [P, 2], all true pairs, distinct, by child, then ancestor.
        train: [N, 2], in random order.
        dev: [M, 2], held out to choose a threshold on.
        test: [M', 2], held out.
        dev_negatives: [K, 2], beside `dev`; under `path_counted` some of them are true pairs.
        test_negatives: [K', 2], beside `test`.
        dev_kinds: int8 [K], places in `NEGATIVE_KINDS`; the random kinds come first, one for each row of `dev`.
        test_kinds: int8 [K'].
        paths: [N], paths between the two of each row of `train`; `None` where they are not known, or where a pair
            has a row for each of its paths.
        protocol: `filtered` or `path_counted`.
    """

    names: list[str]
    pairs: Tensor
    train: Tensor
    dev: Tensor
    test: Tensor
    dev_negatives: Tensor
    test_negatives: Tensor
    dev_kinds: Tensor
    test_kinds: Tensor
    paths: Tensor | None
    protocol: str

    @cached_property
    def known(self) -> KnownPairs:
        """All true pairs, those held out among them: for evaluation. To filter draws in training, `known_in_train`."""
        return KnownPairs(self.pairs[:, 0], self.pairs[:, 1])

    @cached_property
    def known_in_train(self) -> KnownPairs:
        """The pairs of `train`: a filter that knew more would tell the model what is held out."""
        return KnownPairs(self.train[:, 0], self.train[:, 1])

    @cached_property
    def leaks(self) -> dict[str, int]:
        """Held-out rows that are in train, and negatives that are true; 0 throughout under `filtered`."""
        train, known = self.known_in_train, self.known
        return {
            "dev_in_train": _count(train, self.dev),
            "test_in_train": _count(train, self.test),
            "dev_negatives_true": _count(known, self.dev_negatives),
            "test_negatives_true": _count(known, self.test_negatives),
        }

    def split(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs, negatives and their kinds of `dev` or `test`."""
        if name == "dev":
            return self.dev, self.dev_negatives, self.dev_kinds
        if name == "test":
            return self.test, self.test_negatives, self.test_kinds
        raise ValueError(f"unknown split {name!r}; choose dev or test")


def load_hierarchy(
    folder: str | Path,
    protocol: str = "filtered",
    seed: int = 0,
    dev_pairs: int = 4000,
    test_pairs: int = 4000,
    close: bool = False,
) -> Hierarchy:
    """Read a hierarchy, hold pairs out and draw negatives.

    Args:
        folder: a folder with `hypernyms_closure.tsv` (child id, ancestor id, number of paths; ids are 0-based lines of
            the names) and `synset_names.txt`, or a file of lines child<TAB>ancestor(<TAB>paths) of names; no header
            is needed, each file may be gzipped.
        protocol: `filtered`: distinct pairs, none of those held out is in train, no negative is true; `path_counted`:
            the published one, a row for each path (without counts: for each line), leaks and all.
        seed: of what is held out and of the negatives.
        dev_pairs: rows to hold out for dev.
        test_pairs: rows to hold out for test.
        close: take the pairs for direct ones, and their transitive closure for the hierarchy.

    Raises:
        DataError: files that cannot be used (see `read_edges`), or fewer pairs than are to be held out.
        RecipeError: an unknown protocol, or sizes below 1.
    """
    one_of("protocol", protocol, PROTOCOLS)
    for name, value in (("dev_pairs", dev_pairs), ("test_pairs", test_pairs)):
        if value < 1:
            raise RecipeError(f"{name}: must be at least 1, got {value}")
    edges = read_edges(folder)
    edges = closed(edges) if close else edges
    rng, size = np.random.default_rng(seed), len(edges.names)
    places = np.arange(len(edges.pairs))
    if protocol == "path_counted":
        places = np.repeat(places, edges.counts)
    if len(places) <= dev_pairs + test_pairs:
        raise DataError(
            f"{edges.source}: {len(places):,} pairs do not suffice to hold {dev_pairs:,} + {test_pairs:,} out and to "
            "train on the rest; lower dev_pairs and test_pairs"
        )
    test, dev, train = np.split(rng.permutation(places), [test_pairs, test_pairs + dev_pairs])
    held_out = [edges.pairs[dev], edges.pairs[test]]
    if protocol == "path_counted":
        drawn = [unfiltered_corruptions(pairs, size, rng) for pairs in held_out]
    else:
        negatives = TrueNegatives(edges.pairs, size)
        drawn = [negatives.draw(pairs, rng) for pairs in held_out]
    (dev_negatives, dev_kinds), (test_negatives, test_kinds) = drawn
    hierarchy = Hierarchy(
        names=edges.names,
        pairs=torch.from_numpy(edges.pairs),
        train=torch.from_numpy(edges.pairs[train]),
        dev=torch.from_numpy(held_out[0]),
        test=torch.from_numpy(held_out[1]),
        dev_negatives=torch.from_numpy(dev_negatives),
        test_negatives=torch.from_numpy(test_negatives),
        dev_kinds=torch.from_numpy(dev_kinds),
        test_kinds=torch.from_numpy(test_kinds),
        paths=torch.from_numpy(edges.counts[train]) if edges.counted and protocol == "filtered" else None,
        protocol=protocol,
    )
    _report(hierarchy, edges)
    return hierarchy


def _count(known: KnownPairs, pairs: Tensor) -> int:
    return int(known.contain(pairs[:, 0].contiguous(), pairs[:, 1:]).sum())


def _report(hierarchy: Hierarchy, edges: Edges) -> None:
    """Say what there is and what leaks."""
    logger.info(
        "%s: %s concepts, %s distinct pairs; protocol %s: %s pairs to train on",
        edges.source,
        *(f"{len(part):,}" for part in (hierarchy.names, hierarchy.pairs)),
        hierarchy.protocol,
        f"{len(hierarchy.train):,}",
    )
    trained = np.zeros(len(hierarchy.names), dtype=bool)
    trained[hierarchy.train.numpy().ravel()] = True
    for name in ("dev", "test"):
        pairs, _, kinds = hierarchy.split(name)
        counts = np.bincount(kinds, minlength=len(NEGATIVE_KINDS)).tolist()
        logger.info(
            "%s: %s pairs, %s of them with a concept that is not in train; negatives: %s",
            name,
            f"{len(pairs):,}",
            f"{int((~trained[pairs.numpy()]).any(1).sum()):,}",
            ", ".join(f"{count:,} {kind}" for kind, count in zip(NEGATIVE_KINDS, counts, strict=True) if count),
        )
    if any(hierarchy.leaks.values()):
        logger.warning(
            "protocol %s leaks: %s; its accuracies are comparable with published ones only",
            hierarchy.protocol,
            ", ".join(f"{name} {count:,}" for name, count in hierarchy.leaks.items()),
        )
