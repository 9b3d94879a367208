"""Order embeddings (Vendrov et al., 2016), as a `PreTrainedModel`."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from hf_contrastive.errors import RecipeError
from hf_contrastive.models.order_violation import violation, violation_of_pool, violation_of_rows
from hf_contrastive.models.sides import spliced
from hf_contrastive.models.word_embedding import rows_of

Side = Literal["ancestor", "child"]
"""Where candidates stand."""

Sides = Side | int
"""That of all pairs of a batch, or how many, from the first on, have another child; the others another ancestor."""


class OrderEmbeddingConfig(PretrainedConfig):
    """Shape of an `OrderEmbeddingModel`.

    Args:
        num_concepts: C.
        dimension: D, numbers a concept; 50 in Vendrov et al. (2016).
    """

    model_type = "order_embedding"

    def __init__(self, num_concepts: int = 2, dimension: int = 50, **kwargs: Any) -> None:
        if dimension < 1:
            raise RecipeError(f"dimension: must be at least 1, got {dimension}")
        self.num_concepts = num_concepts
        self.dimension = dimension
        super().__init__(**kwargs)


class OrderEmbeddingModel(PreTrainedModel):
    """One table of points; x is below y in the hierarchy where no coordinate of y is above that of x.

    No coordinate is negative, so general concepts lie near the origin: rows begin standard normal, as in Torch7's
    LookupTable, and what is negative is set to zero, at the beginning and after every step (`project_`), as in Vendrov
    et al.'s code for WordNet. Their code for images and captions takes absolute values instead; there a coordinate
    that should be zero never is, and WordNet is learned more slowly.
    """

    config_class = OrderEmbeddingConfig
    base_model_prefix = ""

    def __init__(self, config: OrderEmbeddingConfig) -> None:
        super().__init__(config)
        self.concept_embeddings = nn.Parameter(torch.empty(config.num_concepts, config.dimension))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            nn.init.normal_(self.concept_embeddings)
            self.project_()

    @torch.no_grad()
    def project_(self) -> None:
        """Set what is negative to zero: what a step may leave behind."""
        self.concept_embeddings.clamp_(min=0)

    def forward(self, ids: Tensor) -> Tensor:
        """Points [..., D], none of them negative, of concept ids [...]."""
        return rows_of(self.concept_embeddings, ids)[0]

    def violation(self, children: Tensor, ancestors: Tensor) -> Tensor:
        """By how much each ancestor fails to be above its child.

        E(x, y) = ||max(0, y - x)||^2 for a child at x and an ancestor at y (Vendrov et al., 2016, equation 2).

        Args:
            children: ids [B].
            ancestors: ids [B].

        Returns:
            [B], 0 where the order holds.
        """
        return self.violations(children, ancestors, [], "ancestor")[0]

    def violation_of_candidates(self, anchors: Tensor, candidates: Tensor, side: Sides = "ancestor") -> Tensor:
        """Violations of each anchor with many candidates, in blocks: memory is for [B, P] and 64 MB, not [B, P, D].

        Args:
            anchors: ids [B] of children where candidates stand for ancestors, else of ancestors.
            candidates: ids [P], the same for every anchor, or [B, K], each anchor's own.
            side: where the candidates stand: `ancestor` or `child`, or `child` for the first so many anchors.

        Returns:
            [B, P] or [B, K].
        """
        pool = _Pool(candidates)
        rows, entries = rows_of(self.concept_embeddings, anchors, pool.ids)
        return pool.violations(rows, entries, _children_open(side, len(anchors)))

    def violations(
        self, children: Tensor, ancestors: Tensor, pools: Sequence[Tensor], side: Sides
    ) -> tuple[Tensor, list[Tensor]]:
        """Violations of pairs, and of what they are with another ancestor or child; the table is looked up in once.

        Args:
            children: ids [B].
            ancestors: ids [B].
            pools: candidates, ids [P] or [B, K] each.
            side: which of the two they replace, `ancestor` or `child`, or `child` in the first so many pairs.

        Returns:
            [B], and [B, P] or [B, K] for each pool.
        """
        made, count = [_Pool(pool) for pool in pools], _children_open(side, len(children))
        looked_up = rows_of(self.concept_embeddings, children, ancestors, *(pool.ids for pool in made))
        below, above, *entries = looked_up
        kept = spliced(above, below, count)
        found = [pool.violations(kept, entry, count) for pool, entry in zip(made, entries, strict=True)]
        return violation(below, above), found

    @torch.no_grad()
    def points(self, ids: Tensor | None = None) -> Tensor:
        """Points [..., D] of concept ids [...], or all [C, D], detached: what samplers read and what is published."""
        return self.concept_embeddings.detach() if ids is None else self.concept_embeddings[ids]


def _children_open(side: Sides, count: int) -> int:
    """In how many of `count` pairs candidates stand for the child."""
    if not isinstance(side, int) and side not in get_args(Side):
        raise ValueError(f"unknown side {side!r}; choose one of {', '.join(get_args(Side))}")
    return side if isinstance(side, int) else count * (side == "child")


class _Pool:
    """Candidates for one side of pairs: ids [P] for all, or [B, K] each its own, of which each is looked up once."""

    def __init__(self, candidates: Tensor) -> None:
        self.ids, self.places = candidates, None
        if candidates.dim() == 2:
            self.ids, self.places = candidates.unique(return_inverse=True)

    def violations(self, anchors: Tensor, entries: Tensor, children_open: int) -> Tensor:
        """[B, P] or [B, K] of points [B, D] and the points of `ids`."""
        # Max(0, y - x) of the table turned round is max(0, x - y): the candidates are always what is subtracted from.
        parts: list[Tensor] = []
        for sign, rows in ((-1, slice(0, children_open)), (1, slice(children_open, None))):
            if len(anchors[rows]) or (sign > 0 and not parts):  # of no anchors at all too
                turned = entries if sign > 0 else -entries
                parts.append(self._of_one_side(anchors[rows] * sign, turned, rows))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _of_one_side(self, anchors: Tensor, entries: Tensor, rows: slice) -> Tensor:
        if self.places is None:
            return violation_of_pool(anchors, entries)
        return violation_of_rows(anchors, entries, self.places[rows])
