"""What a step of word vectors should lose, pair by pair in Python's own float64, and the gradients of both tables."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from formulas import FORMULAS, sigmoid
from torch import Tensor

from hf_contrastive.negatives import AdversarialNegatives, Negatives
from hf_contrastive.training.words import ContrastiveWordModel

Column = tuple[float, float]  # of a pool: weight, 0 where it is not used, and expected count


class Anchor(NamedTuple):
    """A word, or the mean of its neighbours, with the words it predicts."""

    inputs: list[tuple[int, float]]  # rows of the input table, and their shares
    targets: list[int]


def anchors_of(ids: list[int], sentences: list[int], window: int, cbow: bool = False) -> list[Anchor]:
    """One for each running word; windows of static width."""
    found = []
    for i, word in enumerate(ids):
        around = [j for j in range(len(ids)) if 0 < abs(i - j) <= window and sentences[i] == sentences[j]]
        context = [ids[j] for j in around]
        if cbow:
            found.append(Anchor([(w, 1 / len(context)) for w in context], [word] if context else []))
        else:
            found.append(Anchor([(word, 1.0)], context))
    return found


def one_a_pair(anchors: list[Anchor]) -> list[Anchor]:
    return [Anchor(inputs, [target]) for inputs, targets in anchors for target in targets]


class Step:
    """Both tables in float64, and what the pairs add up to."""

    def __init__(self, model: ContrastiveWordModel) -> None:
        self.input, self.output = (table.detach().double() for table in model.tables)
        self.counts = model.counts.tolist()
        self.mask_positives = model.mask_positives
        self.loss, self.pairs = 0.0, 0
        self.gradients = [torch.zeros_like(self.input), torch.zeros_like(self.output)]

    def vector(self, anchor: Anchor) -> Tensor:
        return torch.stack([share * self.input[word] for word, share in anchor.inputs]).sum(0)

    def add(self, anchor: Anchor, row: int, slope: float) -> None:
        """A score of derivative `slope`, of the anchor with a row of the output table."""
        for word, share in anchor.inputs:
            self.gradients[0][word] += slope * share * self.output[row]
        self.gradients[1][row] += slope * self.vector(anchor)

    def contrast(
        self,
        anchor: Anchor,
        objective: str,
        rows: list[int],
        columns: list[Column],
        expected: Callable[[int], float] = lambda _: 1.0,
    ) -> None:
        """Each target of an anchor against `rows`; `expected` is how often the noise was to draw it."""
        vector = self.vector(anchor)
        used = [(row, *column) for row, column in zip(rows, columns, strict=True) if column[0]]
        terms = [(float(vector @ self.output[row]), weight, count) for row, weight, count in used]
        for target in anchor.targets:
            score = float(vector @ self.output[target])
            loss, slope, slopes = FORMULAS[objective](score, terms, expected(target))
            self.loss += loss
            self.pairs += 1
            self.add(anchor, target, slope)
            for (row, *_), by in zip(used, slopes, strict=True):
                self.add(anchor, row, by)


def full_softmax(step: Step, anchors: list[Anchor]) -> None:
    """Every other word is there for certain."""
    for pair in one_a_pair(anchors):
        others = [word for word in range(len(step.output)) if word not in pair.targets]
        step.contrast(pair, "infonce", others, [(1.0, 1.0)] * len(others))


def hierarchical_softmax(step: Step, anchors: list[Anchor], nodes: Tensor, turns: Tensor) -> None:
    """-log sigmoid(turn * score) at each node on a target's way."""
    for pair in one_a_pair(anchors):
        (target,) = pair.targets
        step.pairs += 1
        for node, turn in zip(nodes[target].tolist(), turns[target].tolist(), strict=True):
            if turn:
                chance = sigmoid(turn * float(step.vector(pair) @ step.output[node]))
                step.loss -= math.log(chance)
                step.add(pair, node, turn * (chance - 1))


def noise(step: Step, config: dict[str, Any]) -> list[float]:
    mass = [count ** config.get("power", 0.75) for count in step.counts]
    return [m / sum(mass) for m in mass]


def columns_of(step: Step, config: dict[str, Any], anchor: Anchor, rows: list[int], sampler: Any) -> list[Column]:
    """Weights and expected counts of what a sampler, described as in a recipe, has proposed to an anchor."""
    usable = [not (step.mask_positives and row in anchor.targets) for row in rows]
    vector = step.vector(anchor)
    a = vector / vector.norm()
    units = [step.output[row] / step.output[row].norm() for row in rows]
    if config["name"] == "mixture":
        first, second = config["parts"]
        cut, share = first["k"], config["lambda"]
        left = columns_of(step, first, anchor, rows[:cut], sampler.parts[0])
        right = columns_of(step, second, anchor, rows[cut:], sampler.parts[1])
        return [(share * w, c) for w, c in left] + [((1 - share) * w, c) for w, c in right]
    if config["name"] == "self_adversarial":
        inner = columns_of(step, config["part"], anchor, rows, sampler.part)
        scores = [float(vector @ step.output[row]) for row in rows]
        powers = [math.exp(config["alpha"] * s) * there for s, there in zip(scores, usable, strict=True)]
        return [(w * sum(usable) * e / (sum(powers) or 1.0), c) for (w, c), e in zip(inner, powers, strict=True)]
    if config["name"] == "adversarial":
        assert isinstance(sampler, AdversarialNegatives)
        if config.get("estimator") == "reinforce":  # the last two columns are its own
            return [(float(there and j < config["k"]), 1.0) for j, there in enumerate(usable)]
        generator = sampler.generator
        left, right = (p.detach().double() for p in (generator.anchor_projection, generator.candidate_projection))
        energies = [float((left @ a) @ (right @ u) + a @ u) / config["temperature"] for u in units]
        total, even = sum(map(math.exp, energies)), config.get("noise", 0.0)
        g = [(1 - even) * math.exp(e) / total + even / len(rows) for e in energies]
        return [(config["k"] * p * there, 1.0) for p, there in zip(g, usable, strict=True)]
    weight, q = config.get("stands_for", len(rows)) / len(rows), noise(step, config)
    return [(weight * there, len(rows) * q[row]) for row, there in zip(rows, usable, strict=True)]


def against_proposals(
    step: Step, anchors: list[Anchor], objective: str, config: dict[str, Any], sampler: Any, proposed: Negatives
) -> None:
    """Each anchor against its row of what was proposed; NCE's draws are a `unigram`'s."""
    width, q = proposed.ids.shape[-1], noise(step, config)
    for b, anchor in enumerate(anchors):
        if anchor.targets:
            rows = (proposed.ids if proposed.ids.dim() == 1 else proposed.ids[b]).tolist()
            columns = columns_of(step, config, anchor, rows, sampler)
            step.contrast(anchor, objective, rows, columns, lambda word: width * q[word])
