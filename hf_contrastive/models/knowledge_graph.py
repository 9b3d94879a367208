"""Knowledge graph embeddings: tables of entities and relations, as a `PreTrainedModel`."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init

from hf_contrastive.errors import RecipeError
from hf_contrastive.models.kg_scores import INTERACTIONS, Rows, Side, Sides, heads_open
from hf_contrastive.models.sides import spliced
from hf_contrastive.models.word_embedding import rows_of
from hf_contrastive.negatives.protocol import full_precision

LENGTH_ONE = ("transe", "distmult")  # models whose authors keep entities at length 1
DENSE_FROM = 0.25  # rows looked up, as a share of all, from which on a dense gradient is faster
AT_MOST_ONE = ("transd",)  # and those who keep entities and relations at length 1 or below


class KnowledgeGraphConfig(PretrainedConfig):
    """Shape of a `KnowledgeGraphModel`.

    Args:
        num_entities: E.
        num_relations: R, those of the data.
        interaction: `transe`, `transd`, `distmult`, `complex` or `rotate`; see `kg_scores`.
        dimension: D, real numbers an entity, so that models of one D are of one size; of complex vectors half are
            real parts, half imaginary parts.
        norm: of the distance, 1 or 2; `None` is 1 for TransE, 2 for TransD and RotatE, and DistMult and ComplEx have
            none.
        reciprocal: give each relation r a second row r + R, with which heads are predicted: as the tails of
            (t, r + R) (Lacroix et al., 2018).
        constrained: keep vectors at the length that the model's authors gave them, whenever `renormalize_` is called:
            entities of TransE and DistMult at 1, entities and relations of TransD at no more than 1.
        initial_range: entities begin uniform in [-it, it); `None` leaves it to the model.

    Raises:
        RecipeError: a value that cannot be; names the key.
    """

    model_type = "knowledge_graph"

    def __init__(
        self,
        num_entities: int = 2,
        num_relations: int = 1,
        interaction: str = "complex",
        dimension: int = 128,
        norm: int | None = None,
        reciprocal: bool = False,
        constrained: bool = False,
        initial_range: float | None = None,
        **kwargs: Any,
    ) -> None:
        if interaction not in INTERACTIONS:
            raise RecipeError(f"interaction: unknown interaction {interaction!r}; choose one of {list(INTERACTIONS)}")
        kind = INTERACTIONS[interaction]
        if norm is not None and norm not in kind.norms:
            choice = "leave it out" if None in kind.norms else "choose 1 or 2"
            raise RecipeError(f"norm: {interaction} cannot have norm {norm}; {choice}")
        if dimension < 1 or (kind.is_complex and dimension % 2):
            wanted = "even, half of it imaginary parts" if kind.is_complex else "positive"
            raise RecipeError(f"dimension: must be {wanted} for {interaction}, got {dimension}")
        if constrained and interaction not in (*LENGTH_ONE, *AT_MOST_ONE):
            raise RecipeError(f"constrained: {interaction} has no constraint on lengths; leave it out")
        if initial_range is not None and not initial_range > 0:
            raise RecipeError(f"initial_range: must be greater than 0, got {initial_range}")
        self.num_entities = num_entities
        self.num_relations = num_relations
        self.interaction = interaction
        self.dimension = dimension
        self.norm = norm
        self.reciprocal = reciprocal
        self.constrained = constrained
        self.initial_range = initial_range
        super().__init__(**kwargs)


class GraphScores(NamedTuple):
    """Scores of a batch of triples and of their negatives.

    Attributes:
        positive: [B].
        pools: [B, P] or [B, K] for each pool of candidates.
        query: [B, D], what candidates were compared with; see `KnowledgeGraphModel.queries`.
        rows: [B, D] each: vectors of known entities, relations and the others, for a regulariser; phases are left out.
    """

    positive: Tensor
    pools: list[Tensor]
    query: Tensor
    rows: tuple[Tensor, ...]


class KnowledgeGraphModel(PreTrainedModel):
    """A vector for each entity and each relation, and a score for each triple: the higher, the likelier it is true.

    Entities and relations begin uniform in [-a, a):

    - TransE, TransD: a = 6 / sqrt(D), relations scaled to length 1 (Bordes et al., 2013, algorithm 1). TransD's
      projection vectors begin normal with standard deviation 1 / sqrt(D), so that projections begin near the identity
      (Ji et al., 2015).
    - DistMult, ComplEx: a = 0.28, the best of LibKGE's search for ComplEx on WN18RR (Ruffinelli et al., 2020).
    - RotatE: phases in [-pi, pi). Entities: for norm 1, a = 11 / (D / 2), the authors' (gamma + 2) / dimension with
      gamma = 9 (Sun et al., 2019); for norm 2, a = 6 / sqrt(D) as TransE.

    Looked-up rows have sparse gradients, unless they are many beside the entities there are; scores of all entities
    (`candidates=None`) have dense ones.
    """

    config_class = KnowledgeGraphConfig
    base_model_prefix = ""

    def __init__(self, config: KnowledgeGraphConfig) -> None:
        super().__init__(config)
        self.interaction = INTERACTIONS[config.interaction](config.norm)
        dimension, phases = config.dimension, config.interaction == "rotate"
        relations = config.num_relations * (2 if config.reciprocal else 1)
        self.entity_embeddings = nn.Parameter(torch.empty(config.num_entities, dimension))
        self.relation_embeddings = nn.Parameter(torch.empty(relations, dimension // 2 if phases else dimension))
        if self.interaction.is_projected:
            self.entity_projections = nn.Parameter(torch.empty(config.num_entities, dimension))
            self.relation_projections = nn.Parameter(torch.empty(relations, dimension))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is not self:
            return
        config, entities, relations = self.config, self.entity_embeddings, self.relation_embeddings
        scale = config.initial_range or self._usual_range()
        init.uniform_(entities, -scale, scale)
        if config.interaction == "rotate":
            init.uniform_(relations, -math.pi, math.pi)
        else:
            init.uniform_(relations, -scale, scale)
        if config.interaction in ("transe", "transd"):
            init.copy_(relations, normalize(relations.detach(), dim=-1))  # leaves rows of a checkpoint as they are
        if self.interaction.is_projected:
            for table in (self.entity_projections, self.relation_projections):
                init.normal_(table, std=config.dimension**-0.5)
        if config.constrained:
            init.copy_(entities, self._constrained(entities.detach()))

    def _usual_range(self) -> float:
        if self.config.interaction in ("distmult", "complex"):
            return 0.28
        if self.config.interaction == "rotate" and self.interaction.norm == 1:
            return 22 / self.config.dimension
        return 6 / math.sqrt(self.config.dimension)

    def forward(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """Scores [B] of triples."""
        return self.score(heads, relations, tails)

    def score(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """Scores [B] of triples, ids [B] each."""
        return self.score_batch(heads, relations, tails, [], "tail").positive

    def score_tails(self, heads: Tensor, relations: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Scores of (head, relation, candidate).

        Args:
            heads: [B].
            relations: [B].
            candidates: ids of entities, [P] for all, or [B, K] for each its own; `None` is all entities.

        Returns:
            [B, P], [B, K] or [B, E].
        """
        return self.score_candidates(heads, relations, candidates, "tail")

    def score_heads(self, relations: Tensor, tails: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Scores of (candidate, relation, tail); see `score_tails`.

        With reciprocal relations, heads are meant to be predicted by `score_tails(tails, relations + R)`.
        """
        return self.score_candidates(tails, relations, candidates, "head")

    def score_batch(
        self, heads: Tensor, relations: Tensor, tails: Tensor, pools: Sequence[Tensor], side: Sides
    ) -> GraphScores:
        """Scores of true triples and of the same with other heads or tails; each table is looked up in once.

        Args:
            heads, relations, tails: [B].
            pools: ids of entities, each [P] or [B, K].
            side: whether they stand in for `head` or `tail`, or for the heads of the first `side` triples and the
                tails of the others.
        """
        count = heads_open(side, len(heads))
        known, target = spliced(tails, heads, count), spliced(heads, tails, count)
        entity, filled, *candidates = self._entities(known, target, *pools)
        relation = self._relations(relations)
        with full_precision(heads.device):
            query = self._query(entity, relation, count)
            positive = self.interaction.score(query, filled)
            scores = [self._scores(query, pool) for pool in candidates]
        phases = self.config.interaction == "rotate"
        rows = (entity[0], filled[0]) if phases else (entity[0], relation[0], filled[0])
        return GraphScores(positive, scores, query[0], rows)

    def score_candidates(self, known: Tensor, relations: Tensor, candidates: Tensor | None, side: Sides) -> Tensor:
        """Scores of candidates for the open slot beside known entities [B]; see `score_tails` and `score_batch`."""
        entity, *pools = self._entities(known, *([] if candidates is None else [candidates]))
        relation = self._relations(relations)
        with full_precision(known.device):
            query = self._query(entity, relation, heads_open(side, len(known)))
            return self._scores(query, pools[0] if pools else self._all_entities())

    def queries(self, entities: Tensor, relations: Tensor, side: Sides) -> Tensor:
        """What candidates for `side` are compared with, [B, D], of known entities [B] and relations [B].

        Of bilinear models the inner product with a candidate's row is its score. Of the others the score is minus
        their distance: the query is the translated or rotated point, h + r or t - r. TransD's is in the space of the
        relation, where candidates are projected too before they are compared; where projections are near the
        identity, distances to the candidates' rows as they are come close.
        """
        (known,) = self._entities(entities)
        relation = self._relations(relations)
        with full_precision(entities.device):
            return self._query(known, relation, heads_open(side, len(entities)))[0]

    @torch.no_grad()
    def anchors(self, entities: Tensor, relations: Tensor, side: Sides) -> Tensor:
        """`queries`, detached: what a sampler looks at."""
        return self.queries(entities, relations, side)

    @torch.no_grad()
    def renormalize_(self, entities: Tensor | None = None, relations: Tensor | None = None) -> None:
        """Put rows back to the length that `constrained` asks for; nothing where it does not.

        Args:
            entities: ids [M] of those that an optimizer step moved, each once; `None` is all.
            relations: the same.
        """
        if not self.config.constrained:
            return
        tables = [(self.entity_embeddings, entities)]
        if self.config.interaction in AT_MOST_ONE:
            tables.append((self.relation_embeddings, relations))
        for table, ids in tables:
            if ids is None:
                table.copy_(self._constrained(table))
            else:
                table[ids] = self._constrained(table[ids])

    def _constrained(self, rows: Tensor) -> Tensor:
        if self.config.interaction in LENGTH_ONE:
            return normalize(rows, dim=-1)
        return rows / rows.norm(dim=-1, keepdim=True).clamp(min=1)

    def _query(self, entity: Rows, relation: Rows, heads_open: int) -> Rows:
        parts: list[Rows] = []
        sides: list[tuple[Side, slice]] = [("head", slice(0, heads_open)), ("tail", slice(heads_open, None))]
        for side, rows in sides:
            if len(entity[0][rows]) or not (parts or side == "head"):  # of no triples at all too
                known, between = tuple(x[rows] for x in entity), tuple(x[rows] for x in relation)
                parts.append(self.interaction.query(known, between, side))
        return parts[0] if len(parts) == 1 else tuple(torch.cat(same) for same in zip(*parts, strict=True))

    def _scores(self, query: Rows, pool: Rows) -> Tensor:
        """[B, P] with rows [P, D] for all, or [B, K] with rows [B, K, D] for each."""
        if pool[0].dim() == 2:
            return self.interaction.score_pool(query, pool)
        return self.interaction.score(tuple(part.unsqueeze(1) for part in query), pool)

    def _all_entities(self) -> Rows:
        if self.interaction.is_projected:
            return self.entity_embeddings, self.entity_projections
        return (self.entity_embeddings,)

    def _entities(self, *ids: Tensor) -> list[Rows]:
        sparse = sum(part.numel() for part in ids) < DENSE_FROM * self.config.num_entities
        return list(zip(*(rows_of(table, *ids, sparse=sparse) for table in self._all_entities()), strict=True))

    def _relations(self, ids: Tensor) -> Rows:
        vectors = rows_of(self.relation_embeddings, ids)
        return vectors + rows_of(self.relation_projections, ids) if self.interaction.is_projected else vectors
