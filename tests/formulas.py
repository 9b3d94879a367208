"""The objectives for one anchor, written from their formulas in Python's own float64.

Each takes the score of the positive, (score, weight, expected count P q) of every usable negative, and the expected
count of the positive. It gives the loss, its derivative for the positive's score, and those for the negatives'.
"""

import math

MARGIN = 0.7

Terms = list[tuple[float, float, float]]
Result = tuple[float, float, list[float]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def infonce(positive: float, negatives: Terms, _: float) -> Result:
    total = math.exp(positive) + sum(w * math.exp(s) for s, w, _ in negatives)
    slopes = [w * math.exp(s) / total for s, w, _ in negatives]
    return math.log(total) - positive, math.exp(positive) / total - 1, slopes


def sampled_softmax(positive: float, negatives: Terms, _: float) -> Result:
    return infonce(positive, [(s, w / count, 1) for s, w, count in negatives], 1)


def negative_sampling(positive: float, negatives: Terms, _: float) -> Result:
    loss = -math.log(sigmoid(positive)) - sum(w * math.log(sigmoid(-s)) for s, w, _ in negatives)
    return loss, sigmoid(positive) - 1, [w * sigmoid(s) for s, w, _ in negatives]


def nce(positive: float, negatives: Terms, positive_count: float) -> Result:
    corrected = [(s - math.log(count), w, 1.0) for s, w, count in negatives]
    return negative_sampling(positive - math.log(positive_count), corrected, 1)


def triplet(positive: float, negatives: Terms, _: float) -> Result:
    mass = sum(w for _, w, _ in negatives)
    behind = [(MARGIN + s - positive, w / mass) for s, w, _ in negatives]
    slopes = [w if by > 0 else 0.0 for by, w in behind]
    return sum(max(0.0, by) * w for by, w in behind), -sum(slopes), slopes


def order(positive: float, negatives: Terms, _: float) -> Result:
    slopes = [w if MARGIN + s > 0 else 0.0 for s, w, _ in negatives]
    return -positive + sum(max(0.0, MARGIN + s) * w for s, w, _ in negatives), -1.0, slopes


FORMULAS = {
    "infonce": infonce,
    "sampled_softmax": sampled_softmax,
    "negative_sampling": negative_sampling,
    "nce": nce,
    "triplet": triplet,
    "order": order,
}
