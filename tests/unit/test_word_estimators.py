"""Where word vectors converge to, and what NCE's gradient nears."""

import pytest
import torch
from torch import Tensor
from word_models import V, dense, make, text

from hf_contrastive.models.word_embedding import WordEmbeddingConfig, WordEmbeddingModel
from hf_contrastive.negatives import Context, Negatives, NegativeSampler, build_sampler
from hf_contrastive.objectives import OBJECTIVES
from hf_contrastive.training.rows import RowOptimizer
from hf_contrastive.training.words import ContrastiveWordModel


def test_negative_sampling_factorises_the_shifted_pmi_matrix() -> None:
    """Levy and Goldberg (2014): with noise unigram^1 a score of full rank ends at PMI - log k."""
    size, k, random = 8, 5, torch.Generator().manual_seed(1)
    joint = torch.randint(1, 8, (size, size), generator=random)
    cells = torch.arange(size * size).repeat_interleave(joint.flatten())
    ids = torch.stack([cells // size, cells % size], dim=1).flatten()  # sentences of two words
    sentences = torch.arange(len(cells)).repeat_interleave(2)
    torch.manual_seed(0)
    model = ContrastiveWordModel(
        WordEmbeddingModel(WordEmbeddingConfig(size, size)),
        OBJECTIVES["negative_sampling"](1.0),
        build_sampler({"name": "unigram", "power": 1.0, "k": 512, "stands_for": k}),
        ids.bincount(),
        window=1,
        subsample=0.0,
        mask_positives=False,
    )
    optimizer, steps = RowOptimizer([{"params": model.tables, "rows": True}]), 200
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / steps)
        model.draws.step = step
        model(ids, sentences).loss.backward()
        optimizer.step()
    p = (joint + joint.T).double() / (2 * joint.sum())
    expected = (p / (p.sum(1, keepdim=True) * p.sum(0))).log() - torch.tensor(float(k)).log()
    found = (model.words.input_embeddings @ model.words.output_embeddings.T).detach().double()
    x, y = (expected - expected.mean()).flatten(), (found - found.mean()).flatten()
    assert (x @ y / (x.norm() * y.norm())).item() > 0.99
    assert (x @ y / (x @ x)).item() == pytest.approx(1, abs=0.05)
    assert (found - expected).mean().item() == pytest.approx(0, abs=0.02)


class EveryWord(NegativeSampler):
    """Each word once, with the k q draws of it that are expected as its weight: NCE's mean over all draws."""

    needs = frozenset({"bank", "counts"})
    gives_log_q = True

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        assert context.counts is not None
        q = context.counts.double() ** 0.75
        log_q = (self.k * q / q.sum()).log() - torch.tensor(len(q)).log()  # of len(q) columns, expected k q times
        ids, shape = context.rows("bank"), (len(context.anchors), len(q))
        everywhere = torch.ones(shape, dtype=torch.bool)
        return Negatives(ids, everywhere, log_q=log_q, positive_log_q=log_q[context.positive_ids.clamp(min=0)])

    def weigh(self, negatives: Negatives, context: Context) -> Tensor:
        assert negatives.log_q is not None
        return (len(negatives.ids) * negatives.log_q.exp()).expand(negatives.mask.shape)


def test_nce_with_more_noise_nears_the_gradient_of_the_full_softmax() -> None:
    """Mnih and Teh (2012), for scores that are log probabilities."""
    logits = torch.randn(V, V, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def gradient(objective: str, sampler: NegativeSampler | None = None) -> Tensor:
        model = make(objective, sampler)
        words = WordEmbeddingModel(WordEmbeddingConfig(V, V)).double()
        words.input_embeddings.data, words.output_embeddings.data = torch.eye(V).double(), logits.log_softmax(1).T
        model.words = words
        model(*text()).loss.backward()
        return torch.cat([dense(table).flatten() for table in model.tables])

    exact = gradient("softmax")
    cosines = [
        torch.cosine_similarity(gradient("nce", EveryWord(k)), exact, dim=0).item() for k in (1, 5, 25, 125, 10_000)
    ]
    assert cosines == sorted(set(cosines))
    assert cosines[0] < 0.5 and cosines[3] > 0.95 and cosines[4] > 0.9999
