"""Random word vectors and the cosine of two."""

import math

import numpy as np

from hf_contrastive.models import WordVectors


def random_vectors(size: int = 40, width: int = 4, seed: int = 0) -> WordVectors:
    rng = np.random.default_rng(seed)
    return WordVectors([f"w{number}" for number in range(size)], rng.standard_normal((size, width)))


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return float(x @ y) / math.sqrt(float(x @ x) * float(y @ y))
