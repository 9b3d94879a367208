from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_contrastive.data import NEGATIVE_KINDS, Hierarchy, load_hierarchy
from hf_contrastive.evaluation import evaluate_hypernymy
from hf_contrastive.evaluation.hypernymy import best_threshold
from hf_contrastive.models import OrderEmbeddingConfig, OrderEmbeddingModel


def accuracies(positives: list[float], negatives: list[float]) -> dict[float, float]:
    """Accuracy at every value as the threshold, and below all of them."""
    out = {}
    for threshold in [-np.inf, *positives, *negatives]:
        right = sum(x <= threshold for x in positives) + sum(x > threshold for x in negatives)
        out[threshold] = right / (len(positives) + len(negatives))
    return out


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("seed", range(8))
def test_the_threshold_is_the_best_there_is(seed: int, levels: int) -> None:
    """Also where many values tie."""
    rng = np.random.default_rng(seed)
    positives, negatives = rng.integers(0, levels, 15) / 7, (rng.integers(0, levels, 12) + rng.integers(2)) / 7
    threshold, accuracy = best_threshold(positives, negatives)
    tried = accuracies(positives.tolist(), negatives.tolist())
    assert accuracy == max(tried.values())
    right = (positives <= threshold).sum() + (negatives > threshold).sum()
    assert right / 27 == accuracy
    lowest = min(value for value in tried if tried[value] == accuracy)
    assert threshold == lowest or lowest == -np.inf and threshold < min(*positives, *negatives)


def test_a_tie_is_not_cut_through() -> None:
    """One of the two at 0 is a positive: counted by place in a sorted list, a cut between them would be right."""
    assert best_threshold(np.array([0.0]), np.array([0.0, 0.0])) == (pytest.approx(0, abs=1e-300), 2 / 3)
    assert best_threshold(np.array([1.0, 0.0]), np.array([1.0, 2.0])) == (0, 0.75)
    assert best_threshold(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == (1, 1)
    threshold, accuracy = best_threshold(np.array([5.0]), np.array([1.0, 2.0]))
    assert threshold < 1 and np.isfinite(threshold) and accuracy == 2 / 3  # nothing is taken for true


def hierarchy(protocol: str = "filtered") -> Hierarchy:
    """Of 10 concepts, made by hand. Under `path_counted` two negatives of test are true pairs."""
    test_negatives = (
        [(8, 1), (9, 0), (0, 3), (4, 2)] if protocol == "path_counted" else [(1, 8), (2, 9), (0, 3), (4, 9)]
    )
    kinds = [0, 1, 0, 1] if protocol == "path_counted" else [0, 1, 2, 3]
    dev_kinds = [1, 0, 0] if protocol == "path_counted" else [1, 0, 2]
    return Hierarchy(
        names=[str(number) for number in range(10)],
        pairs=torch.tensor([(3, 0), (4, 0), (5, 1), (5, 2), (6, 1), (7, 2), (8, 1), (9, 0)]),
        train=torch.tensor([(8, 1), (9, 0), (7, 2)]),
        dev=torch.tensor([(3, 0), (4, 0)]),
        test=torch.tensor([(5, 1), (5, 2), (6, 1)]),
        dev_negatives=torch.tensor([(3, 9), (0, 4), (2, 3)]),
        test_negatives=torch.tensor(test_negatives),
        dev_kinds=torch.tensor(dev_kinds, dtype=torch.int8),
        test_kinds=torch.tensor(kinds, dtype=torch.int8),
        paths=None,
        protocol=protocol,
    )


def table(values: dict[tuple[int, int], float]):
    """A violation function that looks pairs up."""
    return lambda children, ancestors: torch.tensor(
        [values[pair] for pair in zip(children.tolist(), ancestors.tolist(), strict=True)]
    )


DEV = {(3, 0): 0.1, (4, 0): 0.4, (3, 9): 0.9, (0, 4): 0.7, (2, 3): 0.2}
TEST = {(5, 1): 0.0, (5, 2): 0.8, (6, 1): 0.4, (1, 8): 0.5, (2, 9): 0.3, (0, 3): 0.2, (4, 9): 0.6}


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_accuracy_by_hand_at_the_threshold_of_dev(batch_size: int) -> None:
    """Dev's threshold is 0.4: 0.1, 0.4 are true, 0.7, 0.9 are not. A reversed pair at 0.2 has no say in it."""
    result = evaluate_hypernymy(table(DEV | TEST), hierarchy(), batch_size=batch_size)
    assert result.threshold == pytest.approx(0.4)
    assert result.recall == 2 / 3  # 0.0, 0.4; not 0.8
    assert result.accuracy == 3 / 5 and result.pairs == 5  # and of 0.5, 0.3 the first
    assert result.auc == 3 / 6  # 0.0 is below both, 0.4 below 0.5, 0.8 below none
    assert result.ceiling == 1 and result.accuracy_with_test_threshold is None


def test_accuracy_by_kind() -> None:
    result = evaluate_hypernymy(table(DEV | TEST), hierarchy())
    found = {kind: (score.accuracy, score.auc, score.pairs) for kind, score in result.by_kind.items()}
    assert found == {
        "random_child": (1, pytest.approx(2 / 3), 1),
        "random_ancestor": (0, pytest.approx(1 / 3), 1),
        "reversed": (0, pytest.approx(1 / 3), 1),
        "sibling": (1, pytest.approx(2 / 3), 1),
    }


def test_dev_is_measured_at_its_own_threshold() -> None:
    result = evaluate_hypernymy(table(DEV), hierarchy(), "dev")
    assert (result.accuracy, result.recall, result.auc, result.split) == (1, 1, 1, "dev")
    assert result.by_kind["reversed"].accuracy == 0
    with pytest.raises(ValueError, match="unknown split 'train'"):
        evaluate_hypernymy(table(DEV), hierarchy(), "train")


def test_the_published_protocol_says_what_choosing_on_test_would_give() -> None:
    values = DEV | TEST | {(8, 1): 0.0, (9, 0): 0.1, (0, 3): 0.9, (4, 2): 0.85, (2, 3): 0.95}
    result = evaluate_hypernymy(table(values), hierarchy("path_counted"))
    assert result.accuracy == 4 / 7  # at 0.4: 0.0, 0.4 of the true, 0.85, 0.9 of the others
    assert result.accuracy_with_test_threshold == 5 / 7  # at 0.8
    assert result.ceiling == 5 / 7  # two of the negatives are true
    assert evaluate_hypernymy(table(values), hierarchy("path_counted"), "dev").accuracy_with_test_threshold is None


@pytest.mark.parametrize("protocol", ["filtered", "path_counted"])
def test_who_knows_the_hierarchy_reaches_the_ceiling(tmp_path: Path, protocol: str) -> None:
    rng = np.random.default_rng(0)
    lines = {
        (f"c{max(i, j)}", f"c{min(i, j)}", rng.integers(1, 4)) for i, j in rng.integers(0, 40, (200, 2)) if i != j
    }
    distinct = {line[:2]: line for line in sorted(lines)}
    (tmp_path / "x.tsv").write_text("".join(f"{c}\t{a}\t{n}\n" for c, a, n in distinct.values()))
    h = load_hierarchy(tmp_path / "x.tsv", protocol, dev_pairs=50, test_pairs=60)

    def oracle(children: torch.Tensor, ancestors: torch.Tensor) -> torch.Tensor:
        return 1.0 - h.known.contain(children, ancestors.unsqueeze(1)).squeeze(1).float()

    result = evaluate_hypernymy(oracle, h)
    assert result.accuracy == pytest.approx(result.ceiling) and result.recall == 1
    assert (result.ceiling == 1) == (protocol == "filtered")
    assert result.by_kind.keys() == set(NEGATIVE_KINDS[: 4 if protocol == "filtered" else 2])


def test_a_model_is_measured_by_its_violation() -> None:
    torch.manual_seed(0)
    model = OrderEmbeddingModel(OrderEmbeddingConfig(10, 4))
    result = evaluate_hypernymy(model, hierarchy())
    assert asdict(result) == asdict(evaluate_hypernymy(lambda c, a: model.violation(c, a), hierarchy()))
    with torch.no_grad():  # general concepts near the origin: 0, 1, 2 above all others, and in no other order
        model.concept_embeddings.fill_(1.0)
        model.concept_embeddings[:3] = torch.eye(4)[:3] * 0.5
    result = evaluate_hypernymy(model, hierarchy())
    assert result.accuracy == 1 and result.threshold == 0 and result.by_kind["reversed"].accuracy == 1
    assert model.concept_embeddings.grad is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda c, a: torch.full(c.shape, torch.nan), "dev: 5 violations are not finite"),
        (lambda c, a: torch.zeros(len(c), 2), r"expected a violation for each of 5 pairs, got shape \(5, 2\)"),
    ],
)
def test_refuses_what_is_no_violation(value, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        evaluate_hypernymy(value, hierarchy())
