"""The protocol every source of negatives follows, for sentences, words and triples alike.

A step has a *candidate table*: rows that may serve as negatives, cut into named regions. A sampler proposes rows of
it, the objective contrasts each anchor's positive with the rows proposed, and a learned sampler hears how it did.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


class Candidates:
    """The rows of a candidate table, in parts that stay where they are.

    Args:
        parts: [C1, D], [C2, D], ...; row ids run through them in order.
    """

    def __init__(self, *parts: Tensor) -> None:
        self.parts = [part for part in parts if len(part)] or [parts[0]]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.parts[0].device

    def __getitem__(self, ids: Tensor) -> Tensor:
        """Rows [..., D] for ids [...], in the type of the first part."""
        rows = self.parts[0][ids.clamp(max=len(self.parts[0]) - 1) if len(self.parts) > 1 else ids]
        start = len(self.parts[0])
        for part in self.parts[1:]:
            local = ids - start
            there = part[local.clamp(0, len(part) - 1)].to(rows.dtype)
            rows = torch.where((local >= 0).unsqueeze(-1), there, rows)  # no part is read by a mask: nothing waits
            start += len(part)
        return rows


def _same(rows: Tensor) -> Tensor:
    return rows


@dataclass
class Context:
    """What a sampler may look at. Every tensor is detached: samplers and encoder never share a gradient.

    Attributes:
        anchors: unit vectors [B, D] of this process's anchors.
        candidates: the table, C rows of D numbers; `candidates[ids]` are unit vectors.
        positive_ids: [B], the row of the table that holds each anchor's positive, or [B, W], the rows of its several
            positives, -1 where it has fewer.
        regions: named ranges of rows: `positives` (one row per anchor of all processes), `hard` (the hard negatives
            that the data bring), `bank` (every row that can be drawn: the last sentences seen, a vocabulary, the
            entities of a graph).
        owners: [C], the row in `positives` whose anchor a candidate came with in this step; -1 where none did.
        valid: [C], False where a row only pads or was not written yet.
        anchor_keys: [B], a number per text, equal where two texts are equal; `None` where texts have none.
        candidate_keys: [C], the same for the table.
        candidate_anchor_keys: [C], the key of the anchor each candidate came with.
        counts: [C], how often each candidate occurs in the data; `None` where that is not known.
        mask_positives: whether an anchor's own positives are left out of its negatives.
        step: optimizer steps so far.
        generator: random numbers for the draws; `None` is torch's default generator.
        gather: rows of this process to those of all processes, in rank order.
        score: the model's own scores, detached, of rows [P] or [B, K], where they are not cosines.
    """

    anchors: Tensor
    candidates: Candidates
    positive_ids: Tensor
    regions: dict[str, range]
    owners: Tensor
    valid: Tensor
    anchor_keys: Tensor | None = None
    candidate_keys: Tensor | None = None
    candidate_anchor_keys: Tensor | None = None
    counts: Tensor | None = None
    mask_positives: bool = True
    step: int = 0
    generator: torch.Generator | None = None
    gather: Callable[[Tensor], Tensor] = _same
    score: Callable[[Tensor], Tensor] | None = None

    def rows(self, region: str) -> Tensor:
        """Ids [P] of a region's rows; empty where this step has none."""
        span = self.regions.get(region, range(0))
        return torch.arange(span.start, span.stop, device=self.candidates.device)

    def draw(self, region: str, shape: tuple[int, ...]) -> Tensor:
        """Ids of `shape`, uniform over a region's rows, with replacement."""
        span, device = self.regions[region], self.candidates.device
        return torch.randint(span.start, span.stop, shape, generator=self.generator, device=device)

    def vectors(self, ids: Tensor, region: str | None = None) -> Tensor:
        """Rows [..., D] of the table in the anchors' type; knowing that all are of one region saves a copy."""
        start = self.regions["bank"].start if region == "bank" else -1
        if region == "bank" and start == len(self.candidates.parts[0]):
            return self.candidates.parts[1][ids - start].to(self.anchors.dtype)
        return self.candidates[ids].to(self.anchors.dtype)


@dataclass
class Negatives:
    """What a sampler proposes.

    Attributes:
        ids: rows of the candidate table, [P] one pool for every anchor or [B, K] for each its own; of words, also
            [G, K], each row for as many neighbouring anchors.
        mask: [B, P] or [B, K], True where the row may be used; known positives are False.
        region: the region all ids are of, where it is one.
        log_q: log probability of one draw, broadcastable to `mask`; `None` where the pool was not drawn. Column j of
            P was expected `P * q_j` times: a row that is there for certain has q = 1 / P.
        positive_log_q: [B] or [B, W], log probability that one draw is the anchor's own positive; NCE needs it.
        fresh: [F], rows of the bank to encode anew, with gradient, before they are contrasted; the others take part
            with the vectors of when they were last encoded, as constants.
        blocks: what was proposed, where several pools were joined: a shared pool costs one product.
        trace: what the sampler needs back in `weigh` and `feedback`.
    """

    ids: Tensor
    mask: Tensor
    region: str | None = None
    log_q: Tensor | None = None
    positive_log_q: Tensor | None = None
    fresh: Tensor | None = None
    blocks: tuple["Negatives", ...] = ()
    trace: Any = field(default=None, repr=False)

    def pools(self) -> tuple["Negatives", ...]:
        """The pools whose columns stand side by side; itself where nothing was joined."""
        return self.blocks or (self,)


class NegativeSampler(nn.Module):
    """Where negatives come from. Subclass, implement `sample`, and `register` it under a name.

    Attributes:
        needs: regions of the candidate table the sampler reads, or `counts`; the task must have them.
        gives_log_q: whether its proposals are drawn with a known probability, as NCE wants.
        reads_vectors: whether it looks at the anchors' vectors; a task may leave them unscaled where none does.
        optimizer_options: of a learned sampler: learning rate and the like of its own parameter group.
        max_grad_norm: of a learned sampler: its gradient is clipped to this norm, apart from the encoder's.
        update_every: of a learned sampler: optimizer steps from one update to the next.
        figures: detached scalars of the last step, to log.
    """

    needs: frozenset[str] = frozenset()
    gives_log_q: bool = False
    reads_vectors: bool = True
    optimizer_options: dict[str, float] | None = None
    max_grad_norm: float = 1.0
    update_every: int = 1

    def __init__(self) -> None:
        super().__init__()
        self.figures: dict[str, Tensor] = {}

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """Propose negatives.

        Args:
            context: see `Context`.
            k: how many; `None` leaves it to the sampler (all there are, for those that do not draw).
        """
        raise NotImplementedError

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        """Weights of the proposals inside the objective, detached [B, P]; `None` where all count 1."""
        return None

    def feedback(self, negatives: Negatives, reward: Tensor) -> Tensor | None:
        """Scalar loss of a learned sampler for the `reward` [B, P] of its proposals; `None`: nothing to learn."""
        return None

    def learned(self) -> list["NegativeSampler"]:
        """The learned samplers in here, itself included."""
        return [m for m in self.modules() if isinstance(m, NegativeSampler) and m.optimizer_options is not None]


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast off: similarities and probabilities are computed in the type their inputs have."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def usable(context: Context, ids: Tensor, mask_duplicates: bool = True) -> Tensor:
    """Which rows of the table are true negatives of each anchor.

    A row is not where it pads, where it is the anchor's own positive, and, with `mask_duplicates`, where its text is
    the anchor's or the positive's, or where it is the positive of another row with the same anchor text.

    Args:
        ids: [P] or [B, K].

    Returns:
        bool [B, P] or [B, K].
    """
    rows = ids.unsqueeze(0) if ids.dim() == 1 else ids
    mask = context.valid[rows].expand(len(context.anchors), -1).clone()
    if context.mask_positives:
        mask &= ~own_positives(context, ids)
    keys, anchor_keys, origin = context.candidate_keys, context.anchor_keys, context.candidate_anchor_keys
    if not mask_duplicates or keys is None or anchor_keys is None or origin is None:
        return mask
    row_keys = keys[rows]
    mask &= row_keys != anchor_keys.unsqueeze(1)
    mask &= row_keys != keys[context.positive_ids].unsqueeze(1)
    hard = context.regions.get("hard", range(0))
    is_positive = (rows < hard.start) | (rows >= hard.stop)  # of the anchor it came with
    mask &= ~((origin[rows] == anchor_keys.unsqueeze(1)) & is_positive)
    return mask


def own_positives(context: Context, ids: Tensor) -> Tensor:
    """Where rows [P] or [B, K] of the table are positives of each anchor, bool [B, P] or [B, K]."""
    positives = context.positive_ids
    if positives.dim() == 1:
        return (ids.unsqueeze(0) if ids.dim() == 1 else ids) == positives.unsqueeze(1)
    if ids.dim() == 2:
        return (ids.unsqueeze(2) == positives.unsqueeze(1)).any(2)
    # A pool for all: the column where each row of the table stands first, looked up for each positive.
    size, device = len(ids), ids.device
    columns = torch.arange(size, device=device)
    column = torch.full((len(context.candidates) + 1,), size, device=device)  # the last one is for -1
    column.scatter_reduce_(0, ids, columns, "amin")
    hit = torch.zeros(len(positives), size + 1, dtype=torch.bool, device=device).scatter_(1, column[positives], True)
    again = (column[ids] != columns).nonzero().squeeze(1)
    hit[:, again] = hit[:, column[ids[again]]]
    return hit[:, :size]
