"""A step whose queries are the open places of triples or of pairs: what each is told, is shown and should cost."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from contexts import Told
from graph_loops import dense, gradients
from torch import Tensor

from hf_contrastive.negatives import AdversarialNegatives, Context, Negatives, NegativeSampler

Score = Callable[[int, int], float]  # of a query and a row in its open place
K = 5


class ToldByAnchor(Told):
    """Told for each of N anchors that may be asked about, and keeps who was asked about and what it was shown.

    Args:
        place: which of the N the anchors of a context are.
        ids: [P] for all, or [N, K].
        mask, weights: [N, P] or [N, K].
    """

    def __init__(
        self,
        place: Callable[[Context], list[int]],
        ids: Tensor,
        mask: Tensor,
        weights: Tensor | None = None,
        **of: Any,
    ) -> None:
        super().__init__(ids, mask, weights, **of)
        self.place = place
        self.rows: list[list[int]] = []
        self.contexts: list[Context] = []

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        rows = self.place(context)
        self.rows.append(rows)
        self.contexts.append(context)
        fields = {name: value[rows] for name, value in self.fields.items()}
        return Negatives(self.ids if self.ids.dim() == 1 else self.ids[rows], self.mask[rows].clone(), **fields)

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        return None if self.weights is None else self.weights[self.rows[-1]]


def told_one_row(row: int) -> ToldByAnchor:
    """The same for every anchor."""
    return ToldByAnchor(lambda context: [0] * len(context.anchors), torch.tensor([row]), torch.ones(1, 1).bool())


def told_at_random(
    place: Callable[[Context], list[int]], queries: int, size: int, pool: str, **fields: Tensor
) -> ToldByAnchor:
    """K of `size` rows for all or for each query; a third is not usable, but for the first column."""
    shape = (K,) if pool == "shared" else (queries, K)
    ids, mask, weights = (torch.Generator().manual_seed(seed) for seed in (2, 3, 4))
    usable = torch.rand(queries, K, generator=mask) > 1 / 3
    usable[:, 0] = True
    weighed = torch.rand(queries, K, generator=weights, dtype=torch.double) + 0.5
    return ToldByAnchor(place, torch.randint(size, shape, generator=ids), usable, weighed, **fields)


def proposed_to(query: int, told: Told) -> tuple[list[int], list[bool], list[float]]:
    rows = (told.ids if told.ids.dim() == 1 else told.ids[query]).tolist()
    weights = [1.0] * len(rows) if told.weights is None else told.weights[query].tolist()
    return rows, told.mask[query].tolist(), weights


def assert_loss_and_gradients(
    of: str, count: int, model: Any, output: Any, expected: Tensor, own: float = 0.0
) -> None:
    """Of `count` triples or pairs; `own` is what samplers add that learn."""
    output.loss.backward()
    tolerance = 1e-10 if not own else 1e-6  # they are in float32
    assert output.loss.item() == pytest.approx(expected.item() + own, rel=tolerance)
    assert output.metrics[f"loss_of_a_{of}"].item() == pytest.approx(expected.item() / count, rel=tolerance)
    for table, gradient in zip(model.tables, gradients(expected, model.tables), strict=True):
        torch.testing.assert_close(dense(table), gradient, rtol=tolerance, atol=tolerance)


def assert_shown_scores(told: ToldByAnchor, size: int, score: Score) -> None:
    """At step 7, for all of a context's anchors and for each; frequencies are 1, 2 and so on to `size`."""
    each = torch.arange(len(told.mask) * 3).view(-1, 3) % size
    for queries, context in zip(told.rows, told.contexts, strict=True):
        assert context.score is not None and context.step == 7 and context.regions == {"bank": range(size)}
        for given in (torch.tensor([0, 7, 7]), each[queries], told.ids):
            every = given.expand(len(queries), -1).tolist()
            expected = [[score(query, row) for row in rows] for query, rows in zip(queries, every, strict=True)]
            found = context.score(given)
            assert not found.requires_grad
            torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.double), rtol=1e-9, atol=1e-10)
        assert torch.equal(context.counts, torch.arange(1.0, size + 1)) and not context.anchors.requires_grad


def self_adversarial_weights(told: Told, queries: Sequence[int], alpha: float, score: Score) -> Tensor:
    """By their formula, of the queries that were asked."""
    weights = torch.zeros(told.mask.shape, dtype=torch.double)
    for query in queries:
        rows, mask, _ = proposed_to(query, told)
        powers = [math.exp(alpha * score(query, row)) * there for row, there in zip(rows, mask, strict=True)]
        weights[query] = torch.tensor([sum(mask) * power / sum(powers) for power in powers], dtype=torch.double)
    return weights


def adversary(width: int, told: ToldByAnchor) -> AdversarialNegatives:
    """Chooses 3 of what is told, a quarter of them at random; its generator prefers some to others."""
    sampler = AdversarialNegatives(width, k=3, part=told, noise=0.25, entropy_weight=0.0, temperature=0.5)
    torch.nn.init.normal_(sampler.generator.candidate_projection, generator=torch.Generator().manual_seed(6))
    return sampler


def weigh_as_adversary(told: ToldByAnchor, sampler: AdversarialNegatives, table: Tensor, cost: Score) -> float:
    """Give `told` the weights that its adversary should, after a step; returns what that one's own loss should be."""
    left, right = (p.detach().double() for p in sampler.generator.parameters())
    weights, own = torch.zeros(told.mask.shape, dtype=torch.double), 0.0
    for queries, context in zip(told.rows, told.contexts, strict=True):
        for query, anchor in zip(queries, context.anchors, strict=True):
            rows, mask, _ = proposed_to(query, told)
            units = [row / (row.norm() or 1.0) for row in table.detach()[rows]]  # a point may be the origin
            energies = [math.exp(float((left @ anchor) @ (right @ u) + anchor @ u) / 0.5) for u in units]
            g = [energy / sum(energies) for energy in energies]
            weights[query] = torch.tensor([3 * (0.75 * p + 0.25 / K) for p in g])  # as precise as g itself
            rewards = [cost(query, row) if there else -1 for row, there in zip(rows, mask, strict=True)]
            own -= sum(p * reward for p, reward in zip(g, rewards, strict=True)) / len(queries)
    told.weights = weights
    return own


def watched(sampler: NegativeSampler) -> list[tuple[Context, Negatives]]:
    """What the sampler is shown and proposes from now on."""
    seen: list[tuple[Context, Negatives]] = []
    sample = sampler.sample
    sampler.sample = lambda context, k=None: seen.append((context, sample(context, k))) or seen[-1][1]  # type: ignore[method-assign]
    return seen


def each_proposed(seen: list[tuple[Context, Negatives]]) -> Iterator[tuple[int, int, int, bool]]:
    """Key and positive of an anchor, a row that was proposed to it, and whether that is usable."""
    for context, proposed in seen:
        columns = (context.anchor_keys, context.positive_ids, proposed.ids.expand(proposed.mask.shape), proposed.mask)
        for key, target, rows, mask in zip(*(column.tolist() for column in columns), strict=True):
            yield from ((key, target, row, usable) for row, usable in zip(rows, mask, strict=True))


def assert_initial_values_follow_from_the_seed(table: Callable[[int], Tensor]) -> None:
    """Alone: the global generator has no say, and is left as it was."""
    tables = []
    for seed in (3, 3, 4):
        before = torch.random.get_rng_state()
        tables.append(table(seed))
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.manual_seed(99)
    assert torch.equal(tables[0], tables[1]) and not torch.equal(tables[0], tables[2])


def assert_draws_follow_from_seed_and_step(make: Callable[[int], Any], step: Callable[[Any], Any]) -> None:
    """And differ within a step; measuring in between draws nothing of training's."""

    def losses(seed: int, steps: list[int], measured: bool = False) -> list[float]:
        model = make(seed)
        torch.manual_seed(len(steps))  # the global generator has no say
        found = []
        for number in steps:
            model.draws.step = number
            found.append(step(model).loss.item())
            if measured:
                step(model.eval())
                model.train()
        return found

    first = losses(0, [4, 4, 5])
    assert len({*first, *losses(1, [4, 4, 5])}) == 6
    assert losses(0, [3, 3, 4, 4, 5])[2:] == first == losses(0, [4, 4, 5], measured=True)
