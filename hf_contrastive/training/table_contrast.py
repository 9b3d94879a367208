"""One step of contrast for models that are tables: words, graphs and hierarchies, with one or several positives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hf_contrastive.negatives import Candidates, Context, NegativeSampler
from hf_contrastive.objectives import Objective
from hf_contrastive.training.feedback import forget_figures, remembered, sampler_figures, sampler_loss

# From ids of candidates, [P] or [B, K] each, to the positives' scores [B] or [B, W] and theirs, [B, P] or [B, K].
Score = Callable[[Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]


class UnitRows(Candidates):
    """A table whose rows are scaled to length 1 where a sampler looks at them."""

    def __getitem__(self, ids: Tensor) -> Tensor:
        return normalize(super().__getitem__(ids), dim=-1)


@dataclass
class Contrasted:
    """What a step gives: mean loss of a pair, the sampler's own loss where it learns, figures to log."""

    loss: Tensor
    own: Tensor | None
    figures: dict[str, Tensor]


def contrast(
    negatives: NegativeSampler,
    objective: Objective,
    context: Context,
    score: Score,
    training: bool,
    pairs: Tensor | None = None,
) -> Contrasted:
    """Ask the sampler, score what it proposes, contrast, and tell it how it did.

    Args:
        context: with `score` set where samplers are to see the model's own scores.
        score: with gradient; every table is looked up in once.
        pairs: bool [B, W], which scores of positives are there; `None` where each anchor has one.
    """
    forget_figures(negatives)
    proposed = negatives.sample(context)
    blocks = proposed.pools()
    positive, columns = score([block.ids for block in blocks])
    context.score = remembered(context.score, blocks, columns)
    weights = negatives.weigh(proposed, context)
    pool = columns[0] if len(columns) == 1 else torch.cat(list(columns), dim=1)
    own = None
    if training:
        scores = positive.detach(), pool.detach()
        own = sampler_loss(negatives, proposed, lambda: reward(objective, *scores, pairs), context.step)
    loss = objective.contrast(positive, pool, proposed.mask, weights, proposed.log_q, proposed.positive_log_q, pairs)
    figures = {"negatives": proposed.mask.sum(1, dtype=torch.float32).mean()}
    return Contrasted(loss, own, figures | sampler_figures(negatives))


def reward(objective: Objective, positive: Tensor, pool: Tensor, pairs: Tensor | None) -> Tensor:
    """What each negative alone would cost, [B, P], beside the mean score of the anchor's positives."""
    if pairs is not None:
        positive = (positive * pairs).sum(1) / pairs.sum(1).clamp(min=1)
    return objective.per_negative(positive, pool)


def table_context(
    table: Tensor, anchors: Tensor, positive_ids: Tensor, negatives: NegativeSampler, **fields: object
) -> Context:
    """A context whose candidates are all rows of a table, detached and of length 1 where samplers look at them.

    Args:
        table: [C, D].
        anchors: [B, D], compared with the rows by samplers that learn.
        positive_ids: [B] or [B, W].
        negatives: who will look at it; anchors are scaled to length 1 where it looks at them.
        fields: of `Context`.
    """
    size, device = len(table), table.device
    return Context(
        anchors=normalize(anchors.detach(), dim=-1) if negatives.reads_vectors else anchors.detach(),
        candidates=UnitRows(table.detach()),
        positive_ids=positive_ids,
        regions={"bank": range(size)},
        owners=torch.full((1,), -1, device=device).expand(size),
        valid=torch.ones(1, dtype=torch.bool, device=device).expand(size),
        **fields,  # type: ignore[arg-type]
    )
