"""What the trainers of all tasks share: timing, figures, evaluation by a function, samplers that learn apart."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerControl, TrainerState
from transformers.trainer_utils import HubStrategy

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.training.distributed import gather_rows, world_size
from hf_contrastive.training.hub import open_hub_model, push_folder
from hf_contrastive.training.optimisation import add_learned_groups, update_learned


class FiguresTrainer(Trainer):
    """The stock Trainer for a model whose forward pass returns figures to log beside its loss.

    Subclasses say what is measured (`measure`), counted (`count`) and told the step (`set_step`).

    Args:
        evaluator: called by `measure` whenever the Trainer evaluates; its figures are logged as `eval_NAME`.
        args, kwargs: what `transformers.Trainer` takes.
    """

    # The loss is a mean over anchors: the Trainer divides it under gradient accumulation.
    loss_is_scaled_for_ga = False
    model: Any
    optimizer: Any
    counted = "sentences"  # what `count` counts, for the rate that is logged

    def __init__(self, *args: Any, evaluator: Callable[[Any], dict[str, float]] | None = None, **kwargs: Any) -> None:
        self.evaluator = evaluator
        self._figures: dict[str, tuple[Tensor, int]] = {}  # sum and number of steps since the last log
        self._learned: list[NegativeSampler] = []
        self._train_seconds = 0.0  # since the last log
        self._mark: float | None = None  # up to when they are counted; none while there is no training
        self._train_count = 0
        self._seconds_before: float | None = None  # of earlier starts and logs of this run
        # The Trainer wants a dataset before it evaluates; `evaluate` below asks the evaluator instead.
        eval_dataset = kwargs.pop("eval_dataset", [] if evaluator is not None else None)
        super().__init__(*args, eval_dataset=eval_dataset, **kwargs)

    @property
    def contrastive_model(self) -> Any:
        """The module under whatever DDP, FSDP or compile have put around it."""
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    def measure(self) -> dict[str, float]:
        """Ask the evaluator about the model as it is."""
        raise NotImplementedError

    def count(self, inputs: dict[str, Any]) -> int:
        """Anchors in a batch of this rank."""
        raise NotImplementedError

    def batch_figures(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Figures of the batch itself to log beside the model's: scalars on the batch's device."""
        return {}

    def set_step(self, step: int) -> None:
        """Tell the model how many optimizer steps were taken."""
        raise NotImplementedError

    def learn_apart(self, optimizer: torch.optim.Optimizer, negatives: NegativeSampler | None) -> None:
        """Give the learned samplers groups of their own, clipped and stepped as they say."""
        if negatives is not None:
            self._learned = add_learned_groups(optimizer, negatives)
        optimizer.register_step_pre_hook(lambda *_: update_learned(self._learned, self.state.global_step))

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clip what is published; learned samplers clip theirs apart, so that neither scales the other's."""
        if not self._learned:
            return super()._clip_grad_norm(model)
        theirs = {id(p) for sampler in self._learned for p in sampler.parameters()}
        ours = [p for p in model.parameters() if id(p) not in theirs]
        return self.accelerator.clip_grad_norm_(ours, self.args.max_grad_norm)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass."""
        if self._mark is None:
            self._mark = time.perf_counter()
        if self._seconds_before is None:
            self._seconds_before = logged_seconds(self.state)
        self.set_step(self.state.global_step)
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._train_count += self.count(inputs)
        return loss

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        """The Trainer's own, left out of the seconds of training: those are data, passes and optimizer."""
        if self._mark is not None:
            self._train_seconds += time.perf_counter() - self._mark
        super()._maybe_log_save_evaluate(*args, **kwargs)
        self._mark = None if self._mark is None else time.perf_counter()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's own loss; its figures are kept for the next log."""
        outputs = model(**inputs)
        for name, value in (outputs.metrics | self.batch_figures(inputs)).items():
            total, steps = self._figures.get(name, (torch.zeros_like(value), 0))
            self._figures[name] = (total + value, steps + 1)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the model's figures, averaged since the last log, to what the Trainer logs."""
        if "loss" in logs and self._figures:
            for name, (total, steps) in self._figures.items():
                logs[name] = (gather_rows(total.reshape(1).float()) / steps).mean().item()
            # All ranks together; logging, saving and evaluation are not counted.
            rate = world_size() * self._train_count / max(self._train_seconds, 1e-9)
            logs[f"{self.counted}_per_second"] = rate
            self._seconds_before = (self._seconds_before or 0.0) + self._train_seconds
            logs["train_seconds"] = self._seconds_before
            self._figures = {}
            self._train_seconds, self._train_count = 0.0, 0
        super().log(logs, start_time)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """`measure`, where there is an evaluator; else the Trainer's own evaluation."""
        if self.evaluator is None or eval_dataset:
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        start = time.perf_counter()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.measure().items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - start, 2)
        metrics[f"{metric_key_prefix}_after_train_seconds"] = self.train_seconds()
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """With `push_to_hub`: make the repository, so that what forbids it is known before any training."""
        if self.args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            raise RecipeError("hub_strategy: checkpoints hold training state and are not pushed; leave it out")
        if self.is_world_process_zero():
            self.hub_model_id = open_hub_model(self.args, token, private)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Nothing: what is published is the finished model."""

    def push_to_hub(
        self,
        commit_message: str | None = None,
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save what is publishable into `final/` under `output_dir`, and publish that folder alone.

        Args:
            token, revision, private: default: those of the arguments (`hub_token`, `hub_revision`, ...).

        Returns:
            `hf_contrastive.hub.Published` on the main process, else `None`.

        Raises:
            RecipeError: an option that a publication does not have.
            PublishError: the Hub cannot be reached, or does not let us.
        """
        if kwargs or commit_message is not None or not blocking:
            raise RecipeError("push_to_hub: takes token, revision and private; the card is `hub.write_card`'s")
        final = Path(self.args.output_dir) / "final"
        self.save_model(str(final))
        return push_folder(final, self.args, token, revision, private) if self.is_world_process_zero() else None

    def load_finished(self, checkpoint: Path) -> None:
        """What training would have ended with, from its last checkpoint: the best model, or this one."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        best = self.state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(best or str(checkpoint))

    def train_seconds(self) -> float:
        """Seconds spent in training steps so far, over all starts of the run."""
        before = logged_seconds(self.state) if self._seconds_before is None else self._seconds_before
        return round(before + self._train_seconds, 1)


def logged_seconds(state: TrainerState) -> float:
    """What the last log says of the time spent in training steps; a resumed run counts on from there."""
    return next((entry["train_seconds"] for entry in reversed(state.log_history) if "train_seconds" in entry), 0.0)
