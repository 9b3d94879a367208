"""Link prediction: where the true entity ranks among all that could stand in its place (Bordes et al., 2013).

Ranks are filtered: other entities that are known to make a true triple are left out. Of entities with equal scores the
true one takes the middle place ("realistic" rank: the mean of the first and the last; Berrendorf et al., 2020), so a
model that gives everything one score gains nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hf_contrastive.data.triples import KnowledgeGraph, KnownTails, Triples, add_reciprocal, relation_categories
from hf_contrastive.errors import CheckpointError, DataError
from hf_contrastive.models.knowledge_graph import KnowledgeGraphModel

SPLITS = ("train", "valid", "test")
CATEGORIES = ("1-1", "1-N", "N-1", "N-N")


@dataclass(frozen=True)
class RankMetrics:
    """What is reported of N ranks.

    Attributes:
        count: N.
        mr: mean rank; 1 is the best.
        mrr: mean of 1 / rank.
        hits_at_1, hits_at_3, hits_at_10: share of ranks that are no higher.
    """

    count: int
    mr: float
    mrr: float
    hits_at_1: float
    hits_at_3: float
    hits_at_10: float

    @classmethod
    def of(cls, ranks: Tensor) -> "RankMetrics":
        """Of ranks [N], N not 0."""
        ranks = ranks.double()
        hits = [(ranks <= k).double().mean().item() for k in (1, 3, 10)]
        return cls(len(ranks), ranks.mean().item(), ranks.reciprocal().mean().item(), *hits)


@dataclass(frozen=True)
class SideMetrics:
    """Metrics of predicted heads, of predicted tails, and of both together."""

    head: RankMetrics
    tail: RankMetrics
    both: RankMetrics

    @classmethod
    def of(cls, heads: Tensor, tails: Tensor) -> "SideMetrics":
        """Of ranks [N] of the heads and ranks [N] of the tails."""
        return cls(RankMetrics.of(heads), RankMetrics.of(tails), RankMetrics.of(torch.cat([heads, tails])))


@dataclass(frozen=True)
class LinkPredictionResult(SideMetrics):
    """Metrics of a split.

    Attributes:
        categories: metrics by category of the relation (`relation_categories`), for those that occur in the split;
            `new` are relations that do not occur in training.
        split: which.
        filtered: whether other true entities are left out.
    """

    categories: dict[str, SideMetrics]
    split: str
    filtered: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; shares as measured, not multiplied by 100."""
        return asdict(self)


def evaluate_link_prediction(
    model: KnowledgeGraphModel,
    graph: KnowledgeGraph,
    split: str = "test",
    batch_size: int = 64,
    filtered: bool = True,
    progress: bool = True,
) -> LinkPredictionResult:
    """Rank the true tail and the true head of every triple of a split among all entities.

    Entities that do not occur in training are ranked like any other.

    Args:
        model: scores triples on its own device.
        graph: whose ids the model has.
        split: `train`, `valid` or `test`.
        batch_size: B, triples at a time; [B, E] scores are in memory.
        filtered: leave other true entities out, those of all three splits.
        progress: show a bar with the rate and the time left.

    Raises:
        CheckpointError: the model has other numbers of entities or relations.
        DataError: the split is not known or has no triples.
        ValueError: scores that are not finite: the model diverged.
    """
    if split not in SPLITS:
        raise DataError(f"split: unknown split {split!r}; choose from {', '.join(SPLITS)}")
    triples: Triples = getattr(graph, split)
    if not len(triples):
        raise DataError(f"{split}: the graph has no triples in this split; choose another")
    heads, tails = ranks(model, graph, triples, batch_size, filtered, progress)
    categories = relation_categories(graph.train)
    of_relation = [categories.get(relation, "new") for relation in range(len(graph.relations))]
    metrics = {}
    for name in (*CATEGORIES, "new"):
        chosen = torch.tensor([category == name for category in of_relation])[triples.relations]
        if chosen.any():
            metrics[name] = SideMetrics.of(heads[chosen], tails[chosen])
    overall = SideMetrics.of(heads, tails)
    return LinkPredictionResult(overall.head, overall.tail, overall.both, metrics, split, filtered)


@torch.no_grad()
def ranks(
    model: KnowledgeGraphModel,
    graph: KnowledgeGraph,
    triples: Triples,
    batch_size: int = 64,
    filtered: bool = True,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Realistic ranks of the heads, float64 [N], and of the tails, [N], of N triples; see `evaluate_link_prediction`.

    With reciprocal relations a head is ranked as the tail of (t, r + R).
    """
    size, relations = len(graph.entities), len(graph.relations)
    if (model.config.num_entities, model.config.num_relations) != (size, relations):
        raise CheckpointError(
            f"the model has {model.config.num_entities:,} entities and {model.config.num_relations:,} relations, "
            f"the graph {size:,} and {relations:,}; evaluate it on the graph it was trained on"
        )
    device = model.device
    known = KnownTails(add_reciprocal(graph.known, relations), 2 * relations).to(device) if filtered else None
    triples = triples.to(device)
    was_training = model.training
    model.eval()
    found: dict[str, list[Tensor]] = {"head": [], "tail": []}
    with tqdm(total=len(triples), desc="link prediction", unit="triples", disable=not progress) as bar:
        for start in range(0, len(triples), batch_size):
            batch = triples[start : start + batch_size]
            back = batch.relations + relations
            for side, anchors, keys, targets in (
                ("tail", batch.heads, batch.relations, batch.tails),
                ("head", batch.tails, back, batch.heads),
            ):
                if side == "tail" or model.config.reciprocal:
                    scores = model.score_tails(anchors, keys)
                else:
                    scores = model.score_heads(batch.relations, anchors)
                others = known.tails(anchors, keys) if known is not None else None
                found[side].append(_twice_the_ranks(scores, targets, others).cpu())
            bar.update(len(batch))
    model.train(was_training)
    return torch.cat(found["head"]).double() / 2, torch.cat(found["tail"]).double() / 2


def _twice_the_ranks(scores: Tensor, targets: Tensor, others: tuple[Tensor, Tensor] | None) -> Tensor:
    """Integers [B]: ranks of the targets among scores [B, E], which are overwritten, without `others`.

    Args:
        others: M places in the batch and M entities to leave out.
    """
    if not scores.isfinite().all():
        raise ValueError("scores are not finite: the model diverged")
    true = scores.gather(1, targets.unsqueeze(1))
    scores.scatter_(1, targets.unsqueeze(1), -torch.inf)
    if others is not None:
        scores[others] = -torch.inf
    return 2 + 2 * (scores > true).sum(1) + (scores == true).sum(1)
