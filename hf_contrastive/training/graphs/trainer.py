"""Knowledge graphs on the stock Trainer."""

from collections.abc import Callable
from typing import Any

import torch

from hf_contrastive.data import Triples
from hf_contrastive.models import KnowledgeGraphModel
from hf_contrastive.training.graphs.model import ContrastiveGraphModel
from hf_contrastive.training.table_trainer import TableTrainer
from hf_contrastive.training.tensor_rows import TensorRows


class GraphTrainer(TableTrainer):
    """Train a knowledge graph's tables.

    Args:
        model: what `contrastive_graph_model` makes.
        args: `GraphTrainingArguments`.
        triples: to learn from.
        evaluator: from the `KnowledgeGraphModel` to a dictionary of figures; called whenever the Trainer evaluates.
        kwargs: everything else `transformers.Trainer` takes.
    """

    counted = "triples"

    def __init__(
        self,
        model: ContrastiveGraphModel,
        args: Any,
        triples: Triples,
        *,
        evaluator: Callable[[KnowledgeGraphModel], dict[str, float]] | None = None,
        **kwargs: Any,
    ) -> None:
        rows = TensorRows(heads=triples.heads, relations=triples.relations, tails=triples.tails)
        super().__init__(model, args, train_dataset=rows, evaluator=evaluator, data_collator=rows.collate, **kwargs)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As tables have it; constrained models are put back to their length after every step."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if is_new and self.contrastive_model.config.constrained:
            optimizer.register_step_post_hook(lambda *_: self.contrastive_model.graph.renormalize_())
        return optimizer

    def count(self, inputs: dict[str, Any]) -> int:
        """Triples."""
        return len(inputs["heads"])
