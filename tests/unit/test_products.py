"""Inner products against plain loops in float64."""

import pytest
import torch

from hf_contrastive.products import inner_products


def test_rows_of_each_anchor_and_shared_rows_give_what_a_loop_gives() -> None:
    torch.manual_seed(0)
    anchors = torch.randn(3, 5, dtype=torch.float64)
    own, shared = torch.randn(3, 4, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            assert inner_products(anchors, own)[i, j].item() == pytest.approx(float(anchors[i] @ own[i, j]))
            assert inner_products(anchors, shared)[i, j].item() == pytest.approx(float(anchors[i] @ shared[j]))


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    anchors = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    own = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(inner_products, (anchors, own))
    assert torch.autograd.gradcheck(lambda rows: inner_products(anchors.detach(), rows), own)
    assert torch.autograd.gradcheck(lambda rows: inner_products(rows, own.detach()), anchors)


def test_it_compiles_whole() -> None:
    torch.manual_seed(0)
    anchors, own = torch.randn(3, 5, requires_grad=True), torch.randn(3, 4, 5)
    compiled = torch.compile(inner_products, fullgraph=True, backend="aot_eager")
    made, plain = compiled(anchors, own), inner_products(anchors, own)
    torch.testing.assert_close(made, plain)
    torch.testing.assert_close(*(torch.autograd.grad(out.square().sum(), anchors)[0] for out in (made, plain)))
