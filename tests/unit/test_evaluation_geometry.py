import math

import numpy as np
import pytest
import torch

from hf_contrastive.evaluation import (
    alignment,
    cosine,
    effective_rank,
    geometry,
    mean_cosine,
    singular_values,
    spearman,
    uniformity,
)


def unit(row):
    length = math.sqrt(sum(value * value for value in row))
    return [value / length for value in row]


def squared_distance(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def reference_spearman(scores, gold):
    def ranks(values):
        return [sum(b < a for b in values) + (sum(b == a for b in values) + 1) / 2 for a in values]

    a, b = ranks(list(scores)), ranks(list(gold))
    mean = (len(a) + 1) / 2
    covariance = sum((p - mean) * (q - mean) for p, q in zip(a, b, strict=True))
    spread = sum((p - mean) ** 2 for p in a) * sum((q - mean) ** 2 for q in b)
    return covariance / math.sqrt(spread)


def reference_uniformity(x, t):
    rows = [unit(row) for row in x.tolist()]
    terms = [math.exp(-t * squared_distance(rows[i], rows[j])) for i in range(len(rows)) for j in range(i)]
    return math.log(sum(terms) / len(terms))


def vectors(rows=23, width=5, seed=0, dtype=torch.float64):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 3 + 1


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("alpha", [1, 2, 3])
def test_alignment_is_the_mean_distance_of_normalised_pairs(dtype, tolerance, alpha):
    x, y = vectors(seed=0), vectors(seed=1)
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    distances = [squared_distance(unit(a), unit(b)) ** (alpha / 2) for a, b in pairs]
    expected = sum(distances) / len(distances)
    assert alignment(x.to(dtype), y.to(dtype), alpha=alpha) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("block", [1, 4, 23, 256])
@pytest.mark.parametrize("t", [2, 5])
def test_uniformity_is_the_same_in_blocks_of_any_size(monkeypatch, dtype, tolerance, block, t):
    monkeypatch.setattr(geometry, "_BLOCK", block)
    assert uniformity(vectors().to(dtype), t=t) == pytest.approx(reference_uniformity(vectors(), t), abs=tolerance)


def test_uniformity_does_not_underflow():
    # exp(-400 * 4) is 0 even in float64; only log space keeps the exponent
    assert uniformity([[1.0, 0.0], [-1.0, 0.0]], t=400) == pytest.approx(-1600)


def test_uniformity_of_equal_vectors_is_zero_and_of_spread_ones_smaller():
    assert uniformity(torch.ones(9, 4)) == pytest.approx(0.0, abs=1e-6)
    assert uniformity(vectors()) < -0.5


def test_arrays_and_lists_are_taken_as_tensors_are():
    x, y = vectors(seed=0), vectors(seed=1)
    assert alignment(x.numpy(), y.numpy()) == alignment(x, y)
    assert uniformity(x.float().tolist()) == uniformity(x.float())
    assert isinstance(uniformity(x), float)


@pytest.mark.parametrize(
    "x, y",
    [(torch.ones(1, 3), torch.ones(1, 3)), (torch.ones(2, 3), torch.ones(3, 3)), (torch.ones(3), torch.ones(3))],
)
def test_alignment_refuses_shapes_that_do_not_pair(x, y):
    with pytest.raises(ValueError):
        alignment(x, y)


def test_uniformity_refuses_one_row():
    with pytest.raises(ValueError, match="at least 2 rows"):
        uniformity(torch.ones(1, 3))


def test_cosine_is_row_by_row():
    x, y = vectors(seed=0), vectors(seed=1)
    expected = [np.dot(unit(a), unit(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert cosine(x, y).tolist() == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="differ in shape"):
        cosine(x, y[:1])


@pytest.mark.parametrize("seed", range(5))
def test_spearman_gives_ties_their_mean_rank(seed):
    rng = np.random.default_rng(seed)
    scores, gold = rng.integers(0, 6, size=40) / 2, rng.integers(0, 6, size=40)
    assert spearman(scores, gold) == pytest.approx(reference_spearman(scores, gold), abs=1e-12)


def test_spearman_of_a_collapsed_encoder_is_zero():
    assert spearman([1.0, 1.0, 1.0], [1, 2, 3]) == 0.0


@pytest.mark.parametrize(
    "scores, gold, message",
    [
        ([1.0], [1.0], "at least 2 rows"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "one length"),
        ([1.0, math.nan], [1.0, 2.0], "diverged"),
    ],
)
def test_spearman_refuses_what_cannot_be_ranked(scores, gold, message):
    with pytest.raises(ValueError, match=message):
        spearman(scores, gold)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_mean_cosine_is_the_mean_over_all_pairs(dtype, tolerance):
    rows = [unit(row) for row in vectors().tolist()]
    pairs = [float(np.dot(rows[i], rows[j])) for i in range(len(rows)) for j in range(i)]
    assert mean_cosine(vectors().to(dtype)) == pytest.approx(sum(pairs) / len(pairs), abs=tolerance)


def test_mean_cosine_of_a_zero_vector_with_any_other_is_zero():
    assert mean_cosine([[0.0, 0.0], [3.0, 0.0], [5.0, 0.0]]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("rows, width", [(23, 5), (5, 23), (9, 9)])
def test_singular_values_are_those_of_the_unit_rows(rows, width):
    x = vectors(rows, width)
    expected = np.linalg.svd(np.array([unit(row) for row in x.tolist()]), compute_uv=False)
    found = singular_values(x)
    assert found.shape == (min(rows, width),) and found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected / expected[0], atol=1e-9)
    np.testing.assert_allclose(singular_values(x.float()).numpy(), expected / expected[0], atol=1e-6)


def test_singular_values_of_a_matrix_that_lacks_directions_end_in_zeros():
    x = vectors(23, 2) @ vectors(2, 6, seed=1)
    assert (singular_values(x)[2:] < 1e-7).all()


def test_effective_rank_is_the_exponential_of_the_entropy():
    values = [3.0, 2.0, 0.5, 0.0]
    shares = [value / 5.5 for value in values if value]
    expected = math.exp(-sum(share * math.log(share) for share in shares))
    assert effective_rank(values) == pytest.approx(expected, abs=1e-12)
    assert effective_rank(torch.tensor(values) * 7) == pytest.approx(expected, abs=1e-6)
    assert effective_rank([2.0, 2.0, 2.0]) == pytest.approx(3) and effective_rank([0.0, 4.0]) == pytest.approx(1)


def test_spectra_refuse_what_has_none():
    with pytest.raises(ValueError, match="at least 2 rows"):
        mean_cosine(torch.ones(1, 3))
    with pytest.raises(ValueError, match="all vectors are zero"):
        singular_values(torch.zeros(3, 3))
    for values in ([], [0.0, 0.0], [1.0, -1.0], [[1.0]], [math.nan]):
        with pytest.raises(ValueError, match="none negative and one positive"):
            effective_rank(values)
