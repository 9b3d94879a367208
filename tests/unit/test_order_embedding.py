from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hf_contrastive.errors import RecipeError
from hf_contrastive.models import OrderEmbeddingConfig, OrderEmbeddingModel, order_violation

CONCEPTS, WIDTH = 23, 5


def model(seed: int = 0, **config: Any) -> OrderEmbeddingModel:
    torch.manual_seed(seed)
    return OrderEmbeddingModel(OrderEmbeddingConfig(CONCEPTS, WIDTH, **config)).double()


def by_hand(points: list[list[float]], child: int, ancestor: int) -> float:
    return sum(max(0.0, y - x) ** 2 for x, y in zip(points[child], points[ancestor], strict=True))


def ids(*shape: int, seed: int = 1) -> torch.Tensor:
    """With repeats: there are more of them than concepts, or nearly."""
    return torch.randint(CONCEPTS, shape, generator=torch.Generator().manual_seed(seed))


def test_points_are_not_negative_and_an_order_has_no_violation() -> None:
    order = model()
    assert order.concept_embeddings.min() == 0 < order.concept_embeddings.max()
    assert torch.equal(order.points(), order.concept_embeddings.detach())
    assert torch.equal(order(torch.tensor([[3, 4]])), order.points()[[3, 4]].unsqueeze(0))
    with torch.no_grad():
        order.concept_embeddings[:3] = torch.tensor([[1.0, 2, 3, 0, 1], [1, 2, 2, 0, 0.5], [0, 0, 0, 0, -3]])
        order.project_()
    # 1 lies below 0 in every coordinate, 2 is the origin: above everything
    children, ancestors = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1, 2, 0, 2, 0])
    assert order.violation(children, ancestors).tolist() == [0, 0, 1 + 0.25, 0, 1 + 4 + 9 + 1]


@pytest.mark.parametrize("side", ["ancestor", "child"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("cells", [1 << 18, 40, 7, 1])
def test_candidates_equal_a_double_loop(monkeypatch: pytest.MonkeyPatch, side: str, own: bool, cells: int) -> None:
    """In blocks of rows, of rows and columns, or of single cells."""
    monkeypatch.setattr(order_violation, "_CELLS_ON_CPU", cells)
    order, anchors, candidates = model(), ids(9), ids(9, 11) if own else ids(11)
    points = order.points().tolist()
    found = order.violation_of_candidates(anchors, candidates, side)
    for i, row in enumerate(candidates.expand(9, 11).tolist()):
        for j, candidate in enumerate(row):
            pair = (int(anchors[i]), candidate) if side == "ancestor" else (candidate, int(anchors[i]))
            assert found[i, j].item() == pytest.approx(by_hand(points, *pair), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("side", ["ancestor", "child"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("cells", [1 << 18, 40, 7])
def test_gradients_are_those_of_all_pairs_at_once(
    monkeypatch: pytest.MonkeyPatch, side: str, own: bool, cells: int
) -> None:
    monkeypatch.setattr(order_violation, "_CELLS_ON_CPU", cells)
    order, anchors, candidates = model(), ids(9), ids(9, 11) if own else ids(11)
    outside = torch.randn(9, 11, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    order.violation_of_candidates(anchors, candidates, side).backward(outside)
    found = order.concept_embeddings.grad
    assert found.is_sparse

    table = order.concept_embeddings.detach().clone().requires_grad_()
    near, far = table[anchors].unsqueeze(1), table[candidates]
    excess = far - near if side == "ancestor" else near - far
    excess.clamp(min=0).square().sum(-1).backward(outside)
    assert table.grad.abs().min() < 1e-3 < table.grad.abs().max()
    torch.testing.assert_close(found.to_dense(), table.grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("own", [False, True])
def test_gradients_by_finite_differences(own: bool) -> None:
    torch.manual_seed(0)
    below, above = (torch.rand(4, 3, dtype=torch.float64).requires_grad_() for _ in range(2))
    if own:
        places = torch.randint(4, (4, 6))
        assert torch.autograd.gradcheck(lambda x, y: order_violation.violation_of_rows(x, y, places), (below, above))
    else:
        assert torch.autograd.gradcheck(order_violation.violation_of_pool, (below, above))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("children_open", [0, 3, 9])
def test_a_batch_of_both_sides_is_what_each_side_is_apart(own: bool, children_open: int) -> None:
    order, anchors, candidates = model(), ids(9), ids(9, 11) if own else ids(11)
    found = order.violation_of_candidates(anchors, candidates, children_open)
    as_child, as_ancestor = (
        order.violation_of_candidates(anchors, candidates, side) for side in ("child", "ancestor")
    )
    assert torch.equal(found, torch.cat([as_child[:children_open], as_ancestor[children_open:]]))
    others = ids(9, seed=5)
    below = torch.cat([others[:children_open], anchors[children_open:]])
    above = torch.cat([anchors[:children_open], others[children_open:]])
    pairs, (pool,) = order.violations(below, above, [candidates], children_open)
    assert torch.equal(pool, found) and torch.equal(pairs, order.violation(below, above))


def test_pairs_have_the_same_gradient_as_candidates() -> None:
    order, children, ancestors = model(), ids(30), ids(30, seed=5)
    order.violation(children, ancestors).sum().backward()
    pairs, order.concept_embeddings.grad = order.concept_embeddings.grad.to_dense(), None
    order.violation_of_candidates(children, ancestors.unsqueeze(1)).sum().backward()
    torch.testing.assert_close(order.concept_embeddings.grad.to_dense(), pairs)


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for one in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(one, torch.Tensor) and one.layout == torch.strided:
                self.numbers = max(self.numbers, one.numel())
        return out


@pytest.mark.parametrize("own", [False, True])
def test_no_tensor_is_larger_than_scores_table_and_block(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    """Forwards and backwards; all pairs at once would be 40 * 60 * 5 numbers."""
    monkeypatch.setattr(order_violation, "_CELLS_ON_CPU", 1000)
    order, anchors, candidates = model(), ids(40), ids(40, 60) if own else ids(60)
    with Largest() as largest:
        order.violation_of_candidates(anchors, candidates).sum().backward()
    assert largest.numbers == 40 * 60


@pytest.mark.parametrize("shape", [(0,), (4, 0)])
def test_no_candidates(shape: tuple[int, ...]) -> None:
    order = model()
    out = order.violation_of_candidates(ids(4), torch.zeros(shape, dtype=torch.long))
    assert out.shape == (4, 0)
    out.sum().backward()
    assert not order.concept_embeddings.grad.to_dense().any()
    assert order.violation_of_candidates(ids(0), ids(3)).shape == (0, 3)


def test_starts_standard_normal_with_what_is_negative_at_zero() -> None:
    torch.manual_seed(0)
    table = OrderEmbeddingModel(OrderEmbeddingConfig(2000, 50)).concept_embeddings
    assert table.min() == 0 and (table == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert table.square().mean().item() == pytest.approx(0.5, abs=0.01)


def test_a_saved_model_is_the_same(tmp_path: Path) -> None:
    order = model(3).float()
    order.save_pretrained(tmp_path)
    loaded = OrderEmbeddingModel.from_pretrained(tmp_path)
    assert loaded.config.model_type == "order_embedding" and loaded.config.dimension == WIDTH
    assert torch.equal(loaded.points(), order.points())


def test_refuses_what_is_no_side_and_no_dimension() -> None:
    with pytest.raises(ValueError, match="unknown side 'parent'; choose one of ancestor, child"):
        model().violation_of_candidates(ids(2), ids(2), "parent")
    with pytest.raises(RecipeError, match="dimension: must be at least 1, got 0"):
        OrderEmbeddingConfig(3, 0)
