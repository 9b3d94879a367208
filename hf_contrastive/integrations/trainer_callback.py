"""What a Trainer that knows nothing of samplers has to be told: steps, learning rates, and what to keep."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.files import whole_file
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.training.contrast import Contrast
from hf_contrastive.training.distributed import world_size
from hf_contrastive.training.optimisation import update_learned


class LossWithSampler(Protocol):
    """The loss a `SamplerCallback` looks after."""

    contrast: Contrast
    metrics: dict[str, Tensor]
    step: int

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """As `nn.Module` has it."""
        ...


class SamplerCallback(TrainerCallback):
    """Looks after the sampler of a loss while a sentence-transformers Trainer trains it.

    - The loss follows the Trainer's count of optimizer steps, which draws and schedules go by.
    - A learned sampler gets its own learning rate, through the arguments' `learning_rate_mapping`; its own clipping
      and its updates every so many steps; and the mean of all ranks' gradients, which DDP takes of the model alone.
    - `checkpoint-N/negatives.safetensors` keeps the bank, caches and generator; a resumed run goes on with them.

    Args:
        loss: a `ContrastiveLoss`.
        resume_from_checkpoint: where its state is, if not in the Trainer's own `output_dir`.
        name: with it, the file is `negatives_NAME.safetensors`, and figures in the log begin with `NAME_`.
    """

    def __init__(
        self, loss: LossWithSampler, resume_from_checkpoint: str | Path | None = None, name: str | None = None
    ) -> None:
        if name is not None and Path(name).name != name:
            raise RecipeError(f"name: {name!r} cannot be part of a file's name")
        self.loss = loss
        self.resume_from_checkpoint = resume_from_checkpoint
        self.file_name = "negatives.safetensors" if name is None else f"negatives_{name}.safetensors"
        self._prefix = "" if name is None else f"{name}_"
        self._learned = loss.contrast.negatives.learned()
        self._hooks: list[Any] = []
        self._mapping: dict[str, float] = {}  # what was added to the arguments

    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for the learned samplers' learning rates, before the optimizer is made."""
        if not self._learned:
            return
        for sampler in self._learned:
            names = self._names(sampler)
            pattern = rf"(^|\.)({'|'.join(map(re.escape, names))})$"
            rate = (sampler.optimizer_options or {}).get("lr", args.learning_rate)
            if args.learning_rate_mapping.get(pattern, rate) != rate:
                raise RecipeError("negatives: samplers of two losses in one trainer need the same learning_rate")
            if not any(re.search(theirs, name) for theirs in args.learning_rate_mapping for name in names):
                self._mapping[pattern] = rate
        args.learning_rate_mapping = args.learning_rate_mapping | self._mapping  # a new one: theirs is left alone

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Check that all is in place, and bring back what a checkpoint kept."""
        # Callbacks do not know each other, but they share the Trainer's control.
        if control.__dict__.setdefault("_sampler_files", {}).setdefault(self.file_name, self) is not self:
            raise RecipeError(
                f"negatives: two losses would keep their samplers in {self.file_name}; give each a name of its own, "
                "loss.callbacks(name=...)"
            )
        if args.world_size > 1 and self.loss.contrast.gather and not args.dataloader_drop_last:
            raise RecipeError(
                "dataloader_drop_last: set it to True: candidates of all ranks are gathered, so that the ragged last "
                "batch would make them wait for each other forever"
            )
        self.loss.step = state.global_step
        if state.global_step > 0:
            self._restore(args, state)
        self._take_charge(getattr(optimizer, "optimizer", optimizer))

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The first of the batches of an optimizer step."""
        self.loss.step = state.global_step

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Clear the gradients that not every Trainer clears: it knows the model's parameters, not the loss's."""
        for sampler in self._learned:
            sampler.zero_grad()

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the loss's figures of the last batch to the history, and to what is printed."""
        if logs is not None and "loss" in logs and state.log_history:
            figures = {self._prefix + name: value.item() for name, value in self.loss.metrics.items()}
            logs.update(figures)
            state.log_history[-1].update(figures)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write the sampler's state beside the model; what is pushed to the Hub is chosen before, without it."""
        tensors = self.loss.contrast.state_dict()
        if not tensors or not args.should_save or state.is_hyper_param_search:
            return
        path = _checkpoint(args, state) / self.file_name
        with whole_file(path) as partial:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave optimizer, parameters and arguments as they would be without this callback."""
        self._let_go()
        if self._mapping:
            mapping = args.learning_rate_mapping
            args.learning_rate_mapping = {key: rate for key, rate in mapping.items() if key not in self._mapping}

    def _let_go(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _names(self, sampler: NegativeSampler) -> list[str]:
        own = {id(parameter) for parameter in sampler.parameters()}
        return [name for name, parameter in self.loss.named_parameters() if id(parameter) in own]

    def _take_charge(self, optimizer: torch.optim.Optimizer) -> None:
        """Give learned samplers' groups their other options, and step them apart.

        Raises:
            RecipeError: they share a group with the model, or are in none.
        """
        self._let_go()  # of a run that was broken off
        for sampler in self._learned:
            own = {id(parameter) for parameter in sampler.parameters()}
            groups = [
                group for group in getattr(optimizer, "param_groups", []) if own & {id(p) for p in group["params"]}
            ]
            members = {id(parameter) for group in groups for parameter in group["params"]}
            if members != own:
                raise RecipeError(
                    "negatives: the optimizer has no group of the learned sampler's own; give the trainer "
                    "callbacks=loss.callbacks() of the very loss it trains when it is made, and let it make the "
                    "optimizer (a model sharded by FSDP or DeepSpeed needs hf_contrastive's own trainer)"
                )
            others = {key: value for key, value in (sampler.optimizer_options or {}).items() if key != "lr"}
            for group in groups:
                group.update(others)  # the learning rate is the scheduler's by now
        if self._learned:
            self._hooks = [optimizer.register_step_pre_hook(lambda *_: update_learned(self._learned, self.loss.step))]
        if world_size() > 1:
            parameters = [parameter for sampler in self._learned for parameter in sampler.parameters()]
            self._hooks += [parameter.register_hook(_mean_of_ranks) for parameter in parameters]

    def _restore(self, args: TrainingArguments, state: TrainerState) -> None:
        """Load what `on_save` wrote at the step the Trainer resumes from.

        Raises:
            CheckpointError: it is not there, of another run, or of another sampler.
        """
        wanted = self.loss.contrast.state_dict()
        if not wanted:
            return
        # The Trainer does not say where it resumes from, only the step and what had been logged until then.
        folder = Path(self.resume_from_checkpoint or _checkpoint(args, state))
        if not _is_checkpoint_of(folder, state):
            raise CheckpointError(
                f"{folder} is not the checkpoint of step {state.global_step} that is resumed from; say where it is, "
                "loss.callbacks(resume_from_checkpoint=FOLDER)"
            )
        path = folder / self.file_name
        try:
            found = load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{path}: the sampler's state cannot be read ({error}); it is written when the trainer is given "
                "callbacks=loss.callbacks(). Resume from a checkpoint that has it, or start afresh"
            ) from error
        for name in sorted(wanted.keys() | found.keys()):
            here, there = (tuple(tensors[name].shape) if name in tensors else None for tensors in (wanted, found))
            if here != there:
                raise CheckpointError(
                    f"{path}: {name} has shape {there} there, {here} in this loss (None: not there); make the loss "
                    "with the negatives and bank_size it was trained with"
                )
        self.loss.contrast.load_state_dict(found)


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    """Where the Trainer keeps what it saves at this step."""
    return Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"


def _is_checkpoint_of(folder: Path, state: TrainerState) -> bool:
    """Whether a checkpoint was written by the run that `state` was read from: the same step, and the same log."""
    try:
        saved = json.loads((folder / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # As text: a number that is none does not equal itself.
    same_log = json.dumps(saved["log_history"]) == json.dumps(state.log_history)
    return saved["global_step"] == state.global_step and same_log


def _mean_of_ranks(gradient: Tensor) -> Tensor:
    """What DDP does with the gradients of the model it wraps."""
    gradient = gradient.clone()
    dist.all_reduce(gradient)
    return gradient / world_size()
