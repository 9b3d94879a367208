"""Small word models in float64 under every estimator, and a text for them."""

import copy
from typing import Any

import torch
from torch import Tensor

from hf_contrastive.models.word_embedding import WordEmbeddingConfig, WordEmbeddingModel
from hf_contrastive.negatives import Negatives, NegativeSampler, build_sampler
from hf_contrastive.objectives import OBJECTIVES, FullSoftmax, HierarchicalSoftmax
from hf_contrastive.training.words import ContrastiveWordModel

V, D, WINDOW = 11, 5, 2
COUNTS = torch.tensor([90, 70, 51, 40, 33, 20, 12, 9, 7, 4, 1])
LENGTHS = [9, 1, 12, 2, 15]  # a word on its own, and more than two blocks


def text() -> tuple[Tensor, Tensor]:
    ids = torch.randint(V, (sum(LENGTHS),), generator=torch.Generator().manual_seed(1))
    return ids, torch.repeat_interleave(torch.arange(3, 3 + len(LENGTHS)), torch.tensor(LENGTHS))


def make(objective: str, config: Any = None, architecture: str = "skip_gram", **options: Any) -> ContrastiveWordModel:
    """In float64, with random tables and generator; every word kept and windows of static width."""
    rows = V - 1 if objective == "hierarchical_softmax" else V
    words = WordEmbeddingModel(WordEmbeddingConfig(V, D, architecture, output_rows=rows))
    random = torch.Generator().manual_seed(0)
    for table in words.parameters():
        torch.nn.init.normal_(table, generator=random)
    sampler = config if isinstance(config, NegativeSampler) or config is None else build_sampler(copy.deepcopy(config))
    if sampler is not None:
        for parameter in sampler.parameters():
            torch.nn.init.normal_(parameter, generator=random)
    kind = {"softmax": FullSoftmax, "hierarchical_softmax": lambda: HierarchicalSoftmax(COUNTS)}
    made = kind[objective]() if objective in kind else OBJECTIVES[objective](1.0)
    options = {"window": WINDOW, "dynamic_window": False, "subsample": 0.0, **options}
    model = ContrastiveWordModel(words.double(), made.double(), sampler, COUNTS, **options)
    return model.train()


def proposals(sampler: NegativeSampler) -> tuple[list[Negatives], list[Tensor]]:
    """What the sampler proposes from now on, and its own losses."""
    sample, feedback, proposed, losses = sampler.sample, sampler.feedback, [], []

    def learn(negatives: Negatives, reward: Tensor) -> Tensor | None:
        loss = feedback(negatives, reward)
        losses.extend([] if loss is None else [loss.detach()])
        return loss

    sampler.sample = lambda *given: proposed.append(sample(*given)) or proposed[-1]  # type: ignore[method-assign]
    sampler.feedback = learn  # type: ignore[method-assign]
    return proposed, losses


def dense(table: Tensor) -> Tensor:
    assert table.grad is not None
    return table.grad.to_dense()


UNIGRAM = {"name": "unigram", "k": 7}
EACH = {"name": "unigram", "k": 3, "shared": False}
ACE = {"name": "adversarial", "width": D, "k": 4, "temperature": 0.5}
NEGATIVES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "negative sampling, a pool": ("negative_sampling", UNIGRAM, {}),
    "negative sampling, a pool for 2": ("negative_sampling", {**UNIGRAM, "stands_for": 2}, {}),
    "negative sampling, a pool, positives kept": ("negative_sampling", UNIGRAM, {"mask_positives": False}),
    "negative sampling, each anchor": ("negative_sampling", EACH, {}),
    "negative sampling, each pair": ("negative_sampling", EACH, {"negatives_per_pair": True}),
    "negative sampling, neighbours": (
        "negative_sampling",
        {**EACH, "stands_for": 2},
        {"words_per_draw": 32},
    ),
    "negative sampling, neighbours, positives kept": (
        "negative_sampling",
        EACH,
        {"words_per_draw": 16, "mask_positives": False},
    ),
    "nce, neighbours": ("nce", EACH, {"words_per_draw": 16}),
    "sampled softmax, neighbours": ("sampled_softmax", {**EACH, "name": "uniform"}, {"words_per_draw": 32}),
    "nce, a pool": ("nce", UNIGRAM, {}),
    "nce, each pair": ("nce", {**EACH, "power": 1.0}, {"negatives_per_pair": True, "mask_positives": False}),
    "sampled softmax, a pool": ("sampled_softmax", UNIGRAM, {}),
    "sampled softmax, each pair": ("sampled_softmax", EACH, {"negatives_per_pair": True}),
    "ace, exact": ("negative_sampling", ACE, {}),
    "ace, exact over a few, each pair": ("negative_sampling", {**ACE, "pool_size": 6}, {"negatives_per_pair": True}),
    "ace, exact over draws": ("negative_sampling", {**ACE, "part": UNIGRAM, "noise": 0.3}, {}),
    "ace, exact, infonce": ("infonce", ACE, {}),
    "ace, reinforce": ("negative_sampling", {**ACE, "estimator": "reinforce"}, {}),
    "ace, reinforce, each pair": (
        "negative_sampling",
        {**ACE, "estimator": "reinforce"},
        {"negatives_per_pair": True},
    ),
    "ace, mixture": ("negative_sampling", {"name": "mixture", "lambda": 0.7, "parts": [UNIGRAM, ACE]}, {}),
    "ace, mixture off policy": (
        "negative_sampling",
        {
            "name": "mixture",
            "lambda": 0.4,
            "parts": [{**EACH, "stands_for": 2}, {**ACE, "estimator": "reinforce", "off_policy": True}],
        },
        {},
    ),
    "self-adversarial": ("negative_sampling", {"name": "self_adversarial", "part": UNIGRAM, "alpha": 2.0}, {}),
    "self-adversarial, sampled softmax": (
        "sampled_softmax",
        {"name": "self_adversarial", "part": EACH, "alpha": 0.5},
        {"negatives_per_pair": True},
    ),
}
