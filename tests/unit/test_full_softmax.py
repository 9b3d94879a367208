"""The full softmax in blocks against torch's own over the whole table."""

import pytest
import torch
from torch import Tensor

from hf_contrastive.objectives import FullSoftmax, softmax

B, W, V, D = 7, 3, 13, 4


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Anchors, table, targets [B, W], and which of them are there: of one anchor none is."""
    generator = torch.Generator().manual_seed(0)
    anchors, table = (torch.randn(n, D, generator=generator, dtype=torch.float64) for n in (B, V))
    pairs = torch.rand(B, W, generator=generator) < 0.6
    pairs[2] = False
    return anchors.requires_grad_(), table.requires_grad_(), torch.randint(V, (B, W), generator=generator), pairs


def loss_of(anchors: Tensor, table: Tensor, targets: Tensor, pairs: Tensor) -> Tensor:
    return FullSoftmax()(anchors, table, torch.einsum("bd,bwd->bw", anchors, table[targets]), pairs)


@pytest.mark.parametrize("rows_a_block", [1, 3, 7, 100])
def test_loss_and_gradient_are_those_of_cross_entropy(rows_a_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax, "_CELLS", rows_a_block * V)
    anchors, table, targets, pairs = inputs()
    found = loss_of(anchors, table, targets, pairs)
    anchor, place = pairs.nonzero(as_tuple=True)
    expected = torch.nn.functional.cross_entropy((anchors @ table.T)[anchor], targets[anchor, place])
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = (torch.autograd.grad(3.0 * loss, (anchors, table)) for loss in (found, expected))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_a_table_larger_than_a_block_is_gone_through_an_anchor_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loss_of(*inputs()).item()
    monkeypatch.setattr(softmax, "_CELLS", 1)
    assert loss_of(*inputs()).item() == pytest.approx(whole, rel=1e-12)


def test_scores_of_the_whole_table_are_not_kept() -> None:
    anchors, table, targets, pairs = inputs()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        loss = loss_of(anchors, table, targets, pairs)
    loss.backward()
    assert kept and max(kept) < B * V


def test_large_scores_stay_finite() -> None:
    anchors, table, targets, pairs = inputs()
    loss = loss_of(1e3 * anchors, 1e3 * table, targets, pairs)
    loss.backward()
    assert loss.isfinite() and anchors.grad.isfinite().all() and table.grad.isfinite().all()


def test_without_pairs_there_is_no_loss_and_no_gradient() -> None:
    anchors, table, targets, pairs = inputs()
    loss = loss_of(anchors, table, targets, torch.zeros_like(pairs))
    loss.backward()
    assert loss == 0 and anchors.grad.abs().max() == 0 and table.grad.abs().max() == 0


def test_under_autocast_products_are_rounded_and_sums_are_not() -> None:
    anchors, table, targets, pairs = (x.detach().float() if x.is_floating_point() else x for x in inputs())
    exact = [x.clone().requires_grad_() for x in (anchors, table)]
    rounded = [x.clone().requires_grad_() for x in (anchors, table)]
    whole = loss_of(*exact, targets, pairs)
    with torch.autocast("cpu", torch.bfloat16):
        positive = torch.einsum("bd,bwd->bw", rounded[0].float(), rounded[1].float()[targets]).float()
        found = FullSoftmax()(*rounded, positive, pairs)
    assert found.dtype == torch.float32 and found != whole
    whole.backward()
    found.backward()
    for mine, theirs in zip(rounded, exact, strict=True):
        assert mine.grad.dtype == torch.float32
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0.05, atol=0.02)
