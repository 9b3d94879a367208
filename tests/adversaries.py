"""An adversarial generator that prefers some rows to others, and what it should choose and learn, in float64."""

import math

import torch
from contexts import unit

from hf_contrastive.negatives import AdversarialNegatives, Candidates, Context

BATCH, BANK, WIDTH = 6, 40, 12
COLD = {"width": WIDTH, "warm_start": False, "temperature": 0.5, "entropy_weight": 0.0}


def make_context(anchors: torch.Tensor, bank: torch.Tensor, keys: torch.Tensor | None = None) -> Context:
    """Positives 0..B-1 with keys 0..B-1, then the bank, whose rows have keys of their own unless `keys` says more."""
    count = len(anchors)
    bank_keys = torch.arange(1000, 1000 + len(bank)) if keys is None else keys
    return Context(
        anchors=anchors,
        candidates=Candidates(anchors, bank),
        positive_ids=torch.arange(count),
        regions={"positives": range(count), "bank": range(count, count + len(bank))},
        owners=torch.cat([torch.arange(count), torch.full((len(bank),), -1)]),
        valid=torch.ones(count + len(bank), dtype=torch.bool),
        anchor_keys=torch.arange(100, 100 + count),
        candidate_keys=torch.cat([torch.arange(count), bank_keys]),
        candidate_anchor_keys=torch.cat([torch.arange(100, 100 + count), torch.full((len(bank),), -1)]),
        generator=torch.Generator().manual_seed(0),
    )


def somewhere(sampler: AdversarialNegatives) -> AdversarialNegatives:
    """Far enough from uniform that g matters."""
    with torch.no_grad():
        sampler.generator.candidate_projection.copy_(unit(WIDTH, WIDTH, seed=7))
    return sampler


def gradient(sampler: AdversarialNegatives, loss: torch.Tensor) -> torch.Tensor:
    parts = torch.autograd.grad(loss, list(sampler.generator.parameters()))
    return torch.cat([part.flatten().double() for part in parts])


def chances(sampler: AdversarialNegatives, anchor: torch.Tensor, rows: torch.Tensor) -> list[float]:
    """g over the rows for one anchor, in a float64 loop."""
    u, v = (p.detach().double() for p in sampler.generator.parameters())
    prior = float(sampler.generator.warm_start)
    logits = [float((u @ anchor) @ (v @ row) + prior * (anchor @ row)) / sampler.generator.temperature for row in rows]
    top = max(logits)
    total = sum(math.exp(x - top) for x in logits)
    return [math.exp(x - top) / total for x in logits]


def analytic(
    sampler: AdversarialNegatives, context: Context, reward: torch.Tensor, pool: torch.Tensor | None = None
) -> torch.Tensor:
    """d/d(U, V) of -mean_i sum_j g_ij r_ij, in float64 loops: dlogit_ij = -g_ij (r_ij - sum_l g_il r_il) / B.

    g is over the bank, or over the rows of the table that `pool` [P] or [B, P] names.
    """
    u, v = (p.detach().double() for p in sampler.generator.parameters())
    anchors, table = context.anchors.double(), torch.cat(context.candidates.parts).double()
    pool = torch.arange(BATCH, len(table)) if pool is None else pool
    grad_u, grad_v = torch.zeros_like(u), torch.zeros_like(v)
    for i in range(BATCH):
        rows = table[pool if pool.dim() == 1 else pool[i]]
        g = chances(sampler, anchors[i], rows)
        mean = sum(p * float(r) for p, r in zip(g, reward[i], strict=True))
        for j, row in enumerate(rows):
            slope = -g[j] * (float(reward[i, j]) - mean) / BATCH / sampler.generator.temperature
            grad_u += slope * torch.outer(v @ row, anchors[i])
            grad_v += slope * torch.outer(u @ anchors[i], row)
    return torch.cat([grad_u.flatten(), grad_v.flatten()])
