"""One dropout mask for both views of a sentence: what two passes from the same random state give."""

import pytest
import torch
from helpers import save_tiny_checkpoint

from hf_contrastive.models import SentenceEncoder
from hf_contrastive.training import ContrastiveModel


@pytest.mark.parametrize("chunk_size", [None, 3])
@pytest.mark.parametrize("fast", [False, True])
def test_loss_and_gradient_are_those_of_two_passes_under_the_same_masks(tmp_path, chunk_size, fast):
    torch.manual_seed(0)
    folder = save_tiny_checkpoint(tmp_path / "checkpoint")
    lengths = [7, 4, 6, 5, 3]
    mask = (torch.arange(7) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 60, (5, 7)) * mask
    encoder = SentenceEncoder.from_pretrained(folder, pooler="avg", dropout=0.3, fast_dropout=fast)
    options = {"chunk_size": chunk_size, "recompute": chunk_size is not None}
    model = ContrastiveModel(encoder, same_dropout_mask=True, **options).double().train()
    batch = {
        "input_ids": ids.repeat(2, 1),
        "attention_mask": mask.repeat(2, 1),
        "keys": torch.arange(5).repeat(2),
        "negative_rows": torch.zeros(0, dtype=torch.long),
        "lengths": lengths * 2,
    }
    torch.manual_seed(3)
    out = model(**batch)
    out.loss.backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    views = []
    for _ in range(2):
        torch.manual_seed(3)
        views.append(model._encode(ids, mask, lengths))
    scores = views[0] @ views[1].T / 0.05
    loss = torch.nn.functional.cross_entropy(scores, torch.arange(5))
    loss.backward()
    assert torch.equal(views[0], views[1])
    assert out.loss.item() == pytest.approx(loss.item(), rel=1e-5, abs=1e-6)
    assert out.metrics["alignment"] == 0
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, dict(model.named_parameters())[name].grad, rtol=1e-4, atol=1e-6)
    model.eval()
    assert (model._encode(ids, mask, lengths) - views[0]).abs().max() > 0.01  # there was dropout
