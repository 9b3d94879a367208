"""Order embeddings on the stock Trainer: hierarchy, source of negatives and objective in one forward pass."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hf_contrastive.arguments import GraphNegativesArguments, OrderModelArguments, OrderTrainingArguments
from hf_contrastive.data import Hierarchy
from hf_contrastive.errors import RecipeError
from hf_contrastive.models import OrderEmbeddingConfig, OrderEmbeddingModel
from hf_contrastive.models.sides import first_side_first, spliced
from hf_contrastive.negatives import Filtered, KnownPairs, NegativeSampler
from hf_contrastive.objectives import OBJECTIVES, Objective
from hf_contrastive.training.draws import StepDraws
from hf_contrastive.training.sentence_model import ContrastiveOutput
from hf_contrastive.training.table_contrast import contrast, table_context
from hf_contrastive.training.table_sampler import table_sampler
from hf_contrastive.training.table_trainer import TableTrainer
from hf_contrastive.training.tensor_rows import TensorRows


class ContrastiveOrderModel(nn.Module):
    """Pairs (child, ancestor) against corrupted ones: one side of each is replaced, drawn anew each time.

    The kept concept is the anchor, the other the positive, all concepts the candidates; scores are minus violations.
    The loss is a sum over pairs.

    Args:
        order: what is trained and published.
        objective: how negatives are contrasted.
        negatives: where they come from.
        counts: [C], how often each concept occurs in training.
        mask_positives: leave draws that hit the pair's own concept out.
        seed: of all draws.
    """

    counts: Tensor
    ids: Tensor

    def __init__(
        self,
        order: OrderEmbeddingModel,
        objective: Objective,
        negatives: NegativeSampler,
        counts: Tensor,
        mask_positives: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.order, self.objective, self.negatives = order, objective, negatives
        self.mask_positives = mask_positives
        self.draws = StepDraws(seed)
        self.register_buffer("counts", counts.float(), persistent=False)
        self.register_buffer("ids", torch.arange(len(counts)), persistent=False)

    @property
    def tables(self) -> list[Tensor]:
        """What is trained with sparse gradients."""
        return list(self.order.parameters())

    @property
    def published(self) -> OrderEmbeddingModel:
        """What is saved."""
        return self.order

    @property
    def config(self) -> Any:
        """The order's configuration, for those that ask a model for one."""
        return self.order.config

    def forward(self, children: Tensor, ancestors: Tensor, **_: Any) -> ContrastiveOutput:
        """Loss of a batch of pairs, ids [B] each."""
        generator = self.draws.generator(children.device, self.training)
        of_child = torch.rand(len(children), generator=generator, device=children.device) < 0.5
        rows, side = first_side_first(of_child)
        children, ancestors = children[rows], ancestors[rows]
        kept, target = spliced(ancestors, children, side), spliced(children, ancestors, side)

        def score(pools: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            positive, candidates = self.order.violations(children, ancestors, pools, side)
            return -positive, [-pool for pool in candidates]

        @torch.no_grad()
        def detached(ids: Tensor) -> Tensor:
            return -self.order.violation_of_candidates(kept, ids, side)

        context = table_context(
            self.order.points(),
            self.order.points(kept),
            target,
            self.negatives,
            anchor_keys=spliced(kept + len(self.ids), kept, side),
            candidate_keys=self.ids,
            counts=self.counts,
            mask_positives=self.mask_positives,
            step=self.draws.step,
            generator=generator,
            score=detached,
        )
        made = contrast(self.negatives, self.objective, context, score, self.training)
        total = made.loss * len(children)
        figures = made.figures | {"loss_of_a_pair": total.detach() / max(1, len(children))}
        return ContrastiveOutput(loss=total if made.own is None else total + made.own, metrics=figures)


def contrastive_order_model(
    hierarchy: Hierarchy,
    model: OrderModelArguments,
    negatives: GraphNegativesArguments,
    args: OrderTrainingArguments,
) -> ContrastiveOrderModel:
    """A table for a hierarchy, wrapped as the arguments say; initial values follow from `args.seed`.

    Raises:
        RecipeError: sampler and objective do not fit each other or the task.
    """
    size = len(hierarchy.names)
    objective = OBJECTIVES[args.objective](1.0, args.margin)  # type: ignore[call-arg]
    sampler = table_sampler(
        negatives, "hierarchies", objective, args.objective, model.dimension, args.seed, negatives.mask_positives
    )
    if negatives.corrupted_side != "uniform":
        raise RecipeError("corrupted_side: pairs of a hierarchy have one relation; leave it at uniform")
    if negatives.filter_known:
        child, ancestor = hierarchy.train.unbind(1)
        # Both sides in one table: the keys of ancestors come behind those of children.
        known = KnownPairs(torch.cat([child, ancestor + size]), torch.cat([ancestor, child]))
        sampler = Filtered(sampler, known=known)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        order = OrderEmbeddingModel(OrderEmbeddingConfig(size, model.dimension))
    counts = torch.bincount(hierarchy.train.flatten(), minlength=size)
    return ContrastiveOrderModel(order, objective, sampler, counts, negatives.mask_positives, args.seed)


class OrderTrainer(TableTrainer):
    """Train an order embedding.

    Args:
        model: what `contrastive_order_model` makes.
        args: `OrderTrainingArguments`.
        pairs: [N, 2], children and ancestors.
        evaluator: from the `OrderEmbeddingModel` to a dictionary of figures; called whenever the Trainer evaluates.
        kwargs: everything else `transformers.Trainer` takes.
    """

    counted = "pairs"

    def __init__(
        self,
        model: ContrastiveOrderModel,
        args: Any,
        pairs: Tensor,
        *,
        evaluator: Callable[[OrderEmbeddingModel], dict[str, float]] | None = None,
        **kwargs: Any,
    ) -> None:
        children, ancestors = pairs.unbind(1)
        rows = TensorRows(children=children, ancestors=ancestors)
        super().__init__(model, args, train_dataset=rows, evaluator=evaluator, data_collator=rows.collate, **kwargs)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As tables have it; every step is followed by a projection onto the orthant."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new:
            optimizer.register_step_post_hook(lambda *_: self.contrastive_model.order.project_())
        return optimizer

    def count(self, inputs: dict[str, Any]) -> int:
        """Pairs."""
        return len(inputs["children"])
