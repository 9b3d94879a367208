"""The contrast of a step: candidates gathered, negatives proposed, scored, and reported back to their sampler."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hf_contrastive.negatives import Candidates, Context, Negatives, NegativeSampler
from hf_contrastive.objectives import Objective
from hf_contrastive.training.bank import SentenceBank
from hf_contrastive.training.distributed import gather_rows, rank
from hf_contrastive.training.draws import StepDraws
from hf_contrastive.training.feedback import forget_figures, sampler_figures, sampler_loss

# Token ids [F, l], attention mask [F, l] and lengths to unit vectors [F, D] with gradient.
EncodeTokens = Callable[[Tensor, Tensor, list[int]], Tensor]


@dataclass
class Sentences:
    """Encoded sentences of one kind: anchors, positives or hard negatives.

    Attributes:
        vectors: unit vectors [n, D] with gradient.
        keys: [n], equal where two texts are equal.
        rows: [n], of hard negatives: the anchor each came with; -1 pads.
        input_ids, attention_mask: [n, l], of positives where a bank stores them.
    """

    vectors: Tensor
    keys: Tensor
    rows: Tensor | None = None
    input_ids: Tensor | None = None
    attention_mask: Tensor | None = None


class Contrast(nn.Module):
    """Loss of local anchors against the candidates of all ranks: local rows, gathered columns.

    Args:
        negatives: where negatives come from.
        objective: how they are contrasted.
        bank: sentences that samplers can draw, `None` where none does.
        gather: candidates of all ranks.
        seed: of the draws, which have random numbers of their own: dropout's stay what they were.
    """

    def __init__(
        self,
        negatives: NegativeSampler,
        objective: Objective,
        bank: SentenceBank | None = None,
        gather: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.negatives = negatives
        self.objective = objective
        self.bank = bank
        self.gather = gather
        self.draws = StepDraws(seed)

    @property
    def step(self) -> int:
        """Optimizer steps so far, as the Trainer says."""
        return self.draws.step

    @step.setter
    def step(self, step: int) -> None:
        self.draws.step = step

    def forward(
        self,
        anchors: Sentences,
        positives: Sentences,
        hard: Sentences | None = None,
        encode: EncodeTokens | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (scalar) and figures to log.

        Args:
            anchors: B of them.
            positives: B of them.
            hard: M of them, or `None`; equally many on every rank.
            encode: encodes rows of the bank; without it they take part with the vectors they have.
        """
        forget_figures(self.negatives)
        rows, context = self._context(anchors, positives, hard)
        proposed = self.negatives.sample(context)
        weights = self.negatives.weigh(proposed, context)
        pools = [self._vectors(block, rows, context) for block in proposed.pools()]
        positive, pool = self.objective.scores(anchors.vectors, positives.vectors, pools)
        if proposed.fresh is not None and encode is not None:
            pool = self._with_fresh(pool, anchors.vectors, positives.vectors, context, proposed, encode)
        own = None
        if self.training:
            scores = positive.detach(), pool.detach()
            own = sampler_loss(self.negatives, proposed, lambda: self.objective.per_negative(*scores), self.step)
        loss = self.objective.contrast(positive, pool, proposed.mask, weights, proposed.log_q, proposed.positive_log_q)
        loss = loss if own is None else loss + own
        metrics = {"negatives": proposed.mask.sum(1, dtype=torch.float32).mean()} | sampler_figures(self.negatives)
        if self.bank is not None and self.training:
            self._store(positives, anchors.keys)
        return loss, metrics

    def _context(self, anchors: Sentences, positives: Sentences, hard: Sentences | None) -> tuple[Tensor, Context]:
        """The rows of this step [C, D], with gradient, and what the sampler may see."""
        count = len(anchors.vectors)
        gather = gather_rows if self.gather else _same
        offset = rank() * count if self.gather else 0
        rows, keys, origins = gather(positives.vectors), gather(positives.keys), gather(anchors.keys)
        owners = torch.arange(len(rows), device=rows.device)
        regions = {"positives": range(len(rows))}
        if hard is not None and hard.rows is not None:
            more = gather(hard.vectors)
            regions["hard"] = range(len(rows), len(rows) + len(more))
            more_owners = gather(torch.where(hard.rows >= 0, hard.rows + offset, -1))
            keys = torch.cat([keys, gather(hard.keys)])
            origins = torch.cat([origins, origins[more_owners.clamp(min=0)]])
            owners = torch.cat([owners, more_owners])
            rows = torch.cat([rows, more])
        valid = owners >= 0
        live, parts = rows, [rows.detach()]
        if self.bank is not None:
            regions["bank"] = range(len(rows), len(rows) + len(self.bank))
            keys = torch.cat([keys, self.bank.keys])
            origins = torch.cat([origins, self.bank.anchor_keys])
            owners = torch.cat([owners, owners.new_full((len(self.bank),), -1)])
            valid = torch.cat([valid, self.bank.written])
            parts.append(self.bank.vectors)
        return live, Context(
            anchors=anchors.vectors.detach(),
            candidates=Candidates(*parts),
            positive_ids=torch.arange(count, device=rows.device) + offset,
            regions=regions,
            owners=owners,
            valid=valid,
            anchor_keys=anchors.keys,
            candidate_keys=keys,
            candidate_anchor_keys=origins,
            step=self.step,
            generator=self.draws.generator(rows.device, self.training),
            gather=gather_rows,
        )

    def _vectors(self, block: Negatives, rows: Tensor, context: Context) -> Tensor:
        """Vectors of a pool: this step's rows with their graph, those of the bank as constants."""
        if block.region == "bank":
            return context.vectors(block.ids, "bank")
        if self.bank is None or block.region in ("positives", "hard"):
            return rows[block.ids]
        return Candidates(rows, self.bank.vectors)[block.ids]

    def _with_fresh(
        self,
        pool: Tensor,
        anchors: Tensor,
        positives: Tensor,
        context: Context,
        proposed: Negatives,
        encode: EncodeTokens,
    ) -> Tensor:
        """Scores [B, P] in which the rows that are encoded anew have their new ones, with gradient."""
        assert self.bank is not None and proposed.fresh is not None
        span = context.regions["bank"]
        chosen = proposed.fresh - span.start
        vectors = encode(*self.bank.sentences(chosen))
        _, scores = self.objective.scores(anchors, positives, [vectors])
        place = torch.full((len(self.bank),), -1, device=chosen.device)
        place[chosen] = torch.arange(len(chosen), device=chosen.device)
        local = (proposed.ids - span.start).expand(pool.shape)
        column = torch.where(local >= 0, place[local.clamp(min=0)], -1)
        if self.training:
            # All ranks note what each of them encoded.
            self.bank.refresh(gather_rows(chosen), gather_rows(vectors.detach()))
        return torch.where(column >= 0, scores.gather(1, column.clamp(min=0)), pool)

    def _store(self, positives: Sentences, anchor_keys: Tensor) -> None:
        assert self.bank is not None and positives.input_ids is not None and positives.attention_mask is not None
        self.bank.write(
            gather_rows(self.bank.padded(positives.input_ids)),
            gather_rows(positives.attention_mask.sum(1)),
            gather_rows(positives.vectors.detach()),
            gather_rows(positives.keys),
            gather_rows(anchor_keys),
        )


def _same(rows: Tensor) -> Tensor:
    return rows
