"""The stock Trainer for models that are tables: word vectors, knowledge graphs, order embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hf_contrastive.errors import RecipeError
from hf_contrastive.training.distributed import world_size
from hf_contrastive.training.figures_trainer import FiguresTrainer
from hf_contrastive.training.memory import keep_freed_memory
from hf_contrastive.training.rows import RowOptimizer, sum_over_ranks


class TableTrainer(FiguresTrainer):
    """Train tables with sparse gradients, and samplers that learn beside them.

    The model names the tables (`tables`), what is published (`published`), its source of negatives (`negatives`) and
    keeps its `draws`. Gradients of the tables are summed over ranks and accumulated batches, as a loss is a sum over
    pairs.
    """

    def __init__(self, model: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
        if args.fsdp or args.deepspeed:
            raise RecipeError("fsdp: tables are trained on every rank as a whole; leave fsdp and deepspeed out")
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        model._ddp_params_and_buffers_to_ignore = [names.pop(id(table)) for table in model.tables]
        if args.device.type == "cpu":
            keep_freed_memory()
        super().__init__(model, args, *rest, **kwargs)
        if not names and world_size() > 1:
            # DDP refuses a module of which nothing is left to reduce: all but DDP is put around it here.
            self.model = self.model_wrapped = self.accelerator.prepare_model(self.model, evaluation_mode=True)
            self.model._is_accelerate_prepared = True

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """`RowOptimizer` for the tables, AdamW with its own settings for each learned sampler."""
        if self.optimizer is None:
            inner, args = self.contrastive_model, self.args
            groups = [{"params": list(inner.tables), "rows": True}]
            rule, decay, epsilon = args.row_rule, args.row_decay, args.row_epsilon
            optimizer = RowOptimizer(groups, args.learning_rate, rule, decay, epsilon)
            optimizer.register_step_pre_hook(lambda *_: self._sum_gradients(inner.tables))
            self.learn_apart(optimizer, inner.negatives)
            self.optimizer = optimizer
        return self.optimizer

    def _sum_gradients(self, tables: Sequence[Tensor]) -> None:
        """Sums over ranks, and over accumulated batches, of which the Trainer takes the mean."""
        batches = getattr(self, "current_gradient_accumulation_steps", 1)
        for table in tables:
            if table.grad is not None and batches > 1:
                table.grad = table.grad * batches
        sum_over_ranks(tables)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Not measured: sparse gradients have no norm before their rows are summed."""
        return None

    def measure(self) -> dict[str, float]:
        """Ask the evaluator about what is published."""
        assert self.evaluator is not None
        return self.evaluator(self.contrastive_model.published)

    def set_step(self, step: int) -> None:
        """What draws and schedules of the samplers follow from."""
        self.contrastive_model.draws.step = step

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Publishable: the tables alone, without training state. Checkpoints keep the whole model."""
        if _internal_call:
            super().save_model(output_dir, _internal_call=True)
        elif self.args.should_save:
            self.contrastive_model.published.save_pretrained(Path(output_dir or self.args.output_dir))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A checkpoint's weights."""
        state_dict = self.model.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, {name: value.contiguous() for name, value in state_dict.items()})
