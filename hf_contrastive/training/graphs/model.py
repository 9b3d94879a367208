"""Knowledge graph, source of negatives and objective, as one module with one forward pass."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hf_contrastive.models.kg_regularizers import REGULARIZERS
from hf_contrastive.models.knowledge_graph import GraphScores, KnowledgeGraphModel
from hf_contrastive.models.sides import first_side_first, spliced
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.objectives import FullSoftmax, Objective
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
        heads, relations, tails, side = self._corrupted(heads, relations, tails, generator)
        count = len(heads) // 2 if self.config.reciprocal else len(heads)
        loss, own, figures = self._against_candidates(heads, relations, tails, side, generator)
        figures["loss_of_a_triple"] = loss.detach() / max(1, count)
        return ContrastiveOutput(loss=loss if own is None else loss + own, metrics=figures)

    def _corrupted(
        self, heads: Tensor, relations: Tensor, tails: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Triples in the order of what is corrupted, and of how many, from the first on, it is the head."""
        if self.config.reciprocal:
            turned = relations + self.config.num_relations
            return torch.cat([heads, tails]), torch.cat([relations, turned]), torch.cat([tails, heads]), 0
        draws = torch.rand(len(heads), generator=generator, device=heads.device)
        of_head = draws < self.head_probability[relations]
        rows, count = first_side_first(of_head)
        return heads[rows], relations[rows], tails[rows], count

    def _against_candidates(
        self, heads: Tensor, relations: Tensor, tails: Tensor, side: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Summed loss of the triples, the sampler's own where it learns, and figures."""
        known, target = spliced(tails, heads, side), spliced(heads, tails, side)
        made_of: list[GraphScores] = []

        def score(pools: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            scores = self.graph.score_batch(heads, relations, tails, pools, side)
            made_of.append(scores)
            return scores.positive / self.temperature, [pool / self.temperature for pool in scores.pools]

        if self.objective is None:
            positive, _ = score([])
            loss, own, figures = self._among_all(known, relations, side, made_of[0].query, positive), None, {}
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
                score=lambda ids: self._detached(known, relations, ids, side),
            )
            made = contrast(self.negatives, self.objective, context, score, self.training)
            loss, own, figures = made.loss * len(heads), made.own, made.figures
        if self.regularizer is not None and self.regularizer_weight:
            penalty = REGULARIZERS[self.regularizer](made_of[0].rows, self.graph.interaction.is_complex)
            loss = loss + self.regularizer_weight * penalty * len(heads)
        return loss, own, figures

    def _among_all(self, known: Tensor, relations: Tensor, side: int, query: Tensor, positive: Tensor) -> Tensor:
        """Cross entropy among all entities, summed; scores that are inner products are never kept."""
        if self.graph.interaction.is_bilinear:
            every = torch.ones(len(query), 1, dtype=torch.bool, device=query.device)
            mean = FullSoftmax()(query / self.temperature, self.graph.entity_embeddings, positive.unsqueeze(1), every)
            return mean * len(query)
        scores = self.graph.score_candidates(known, relations, None, side)
        return ((scores / self.temperature).logsumexp(1) - positive).sum()

    def keys(self, known: Tensor, relations: Tensor, side: int) -> Tensor:
        """A number for each query [B]: as `KnownTails` over reciprocal triples has it, heads the tails of r + R."""
        count = self.config.num_relations
        relations = spliced(relations + count, relations, side)
        return known * (2 * count) + relations

    @torch.no_grad()
    def _detached(self, known: Tensor, relations: Tensor, ids: Tensor, side: int) -> Tensor:
        return self.graph.score_candidates(known, relations, ids, side) / self.temperature
