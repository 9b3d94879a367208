"""Knowledge graph, source of negatives and objective, as one module with one forward pass."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hf_contrastive.models.kg_regularizers import REGULARIZERS
from hf_contrastive.models.kg_scores import Side
from hf_contrastive.models.knowledge_graph import KnowledgeGraphModel
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.objectives import Objective
from hf_contrastive.training.draws import StepDraws
from hf_contrastive.training.sentence_model import ContrastiveOutput
from hf_contrastive.training.table_contrast import contrast, table_context


class ContrastiveGraphModel(nn.Module):
    """Triples against corrupted ones.

    The known entity and the relation of a triple are the anchor, its other entity the positive, entities the
    candidates. One side of every triple is corrupted, drawn anew each time; with reciprocal relations both are, each
    as the tail of a relation. The loss is a sum over anchors.

    Args:
        graph: what is trained and published.
        objective: how negatives are contrasted; `None` is the cross entropy among all entities (1-vs-all).
        negatives: where they come from; `None` with `objective=None`.
        counts: [E], how often each entity occurs in training.
        head_probability: [R], chance that a triple's head is the side that is corrupted; with reciprocal relations
            not looked at.
        regularizer: `l2` or `n3` of the rows a batch has looked up, or `None`.
        regularizer_weight: of a triple's penalty.
        mask_positives: leave draws that hit the anchor's own positive out.
        temperature: scores are divided by it.
        seed: of all draws.
    """

    counts: Tensor
    head_probability: Tensor
    ids: Tensor

    def __init__(
        self,
        graph: KnowledgeGraphModel,
        objective: Objective | None,
        negatives: NegativeSampler | None,
        counts: Tensor,
        head_probability: Tensor,
        *,
        regularizer: str | None = None,
        regularizer_weight: float = 0.0,
        mask_positives: bool = True,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.graph, self.objective, self.negatives = graph, objective, negatives
        self.regularizer, self.regularizer_weight = regularizer, regularizer_weight
        self.mask_positives, self.temperature = mask_positives, temperature
        self.draws = StepDraws(seed)
        self.register_buffer("counts", counts.float(), persistent=False)
        self.register_buffer("head_probability", head_probability, persistent=False)
        self.register_buffer("ids", torch.arange(len(counts)), persistent=False)

    @property
    def tables(self) -> list[Tensor]:
        """What is trained with sparse gradients."""
        return list(self.graph.parameters())

    @property
    def published(self) -> KnowledgeGraphModel:
        """What is saved."""
        return self.graph

    @property
    def config(self) -> Any:
        """The graph's configuration, for those that ask a model for one."""
        return self.graph.config

    def forward(self, heads: Tensor, relations: Tensor, tails: Tensor, **_: Any) -> ContrastiveOutput:
        """Loss of a batch of triples, ids [B] each."""
        generator = self.draws.generator(heads.device, self.training)
        total, own = torch.zeros((), device=heads.device), torch.zeros((), device=heads.device)
        figures: dict[str, Tensor] = {}
        for side, triples in self._sides(heads, relations, tails, generator):
            loss, samplers, more = self._one_side(side, *triples, generator)
            total, figures = total + loss, figures | more
            own = own if samplers is None else own + samplers
        figures["loss_of_a_triple"] = total.detach() / max(1, len(heads))
        return ContrastiveOutput(loss=total + own, metrics=figures)

    def _sides(
        self, heads: Tensor, relations: Tensor, tails: Tensor, generator: torch.Generator
    ) -> list[tuple[Side, tuple[Tensor, Tensor, Tensor]]]:
        """Which entity of which triples is corrupted."""
        if self.config.reciprocal:
            turned = relations + self.config.num_relations
            both = torch.cat([heads, tails]), torch.cat([relations, turned]), torch.cat([tails, heads])
            return [("tail", both)]
        draws = torch.rand(len(heads), generator=generator, device=heads.device)
        of_head = draws < self.head_probability[relations]
        parts: list[tuple[Side, Tensor]] = [("head", of_head), ("tail", ~of_head)]
        return [(side, (heads[rows], relations[rows], tails[rows])) for side, rows in parts if bool(rows.any())]

    def _one_side(
        self, side: Side, heads: Tensor, relations: Tensor, tails: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Loss of the triples, the sampler's own where it learns, and figures."""
        known, target = (heads, tails) if side == "tail" else (tails, heads)
        looked_up: list[tuple[Tensor, ...]] = []

        def score(pools: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            scores = self.graph.score_batch(heads, relations, tails, pools, side)
            looked_up.append(scores.rows)
            return scores.positive / self.temperature, [pool / self.temperature for pool in scores.pools]

        if self.objective is None:
            positive, _ = score([])
            every = self._all(side, heads, relations, tails) / self.temperature
            loss, own, figures = (every.logsumexp(1) - positive).sum(), None, {}
        else:
            assert self.negatives is not None
            context = table_context(
                self.graph.entity_embeddings,
                self.graph.anchors(known, relations, side),
                target,
                self.negatives,
                anchor_keys=self.keys(known, relations, side),
                candidate_keys=self.ids,
                counts=self.counts,
                mask_positives=self.mask_positives,
                step=self.draws.step,
                generator=generator,
                score=lambda ids: self._detached(side, heads, relations, tails, ids),
            )
            made = contrast(self.negatives, self.objective, context, score, self.training)
            loss, own, figures = made.loss * len(heads), made.own, made.figures
        if self.regularizer is not None and self.regularizer_weight:
            penalty = REGULARIZERS[self.regularizer](looked_up[0], self.graph.interaction.is_complex)
            loss = loss + self.regularizer_weight * penalty * len(heads)
        return loss, own, figures

    def keys(self, known: Tensor, relations: Tensor, side: Side) -> Tensor:
        """A number for each query [B]: as `KnownTails` over reciprocal triples has it, heads the tails of r + R."""
        count = self.config.num_relations
        if side == "head":
            relations = relations + count
        return known * (2 * count) + relations

    def _all(self, side: Side, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        if side == "tail":
            return self.graph.score_tails(heads, relations)
        return self.graph.score_heads(relations, tails)

    @torch.no_grad()
    def _detached(self, side: Side, heads: Tensor, relations: Tensor, tails: Tensor, ids: Tensor) -> Tensor:
        if side == "tail":
            return self.graph.score_tails(heads, relations, ids) / self.temperature
        return self.graph.score_heads(relations, tails, ids) / self.temperature
