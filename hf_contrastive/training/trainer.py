"""The stock Trainer, told how to log, evaluate and save a contrastive model."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import IterableDataset
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from transformers import Trainer, TrainerControl, TrainerState

from hf_contrastive.arguments import ContrastiveTrainingArguments
from hf_contrastive.data import canonical_dataset, check_enough_rows, collator_for, tokenize_dataset
from hf_contrastive.evaluation.encoding import Encode
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.training.build import check_regions, contrastive_model, most_views
from hf_contrastive.training.distributed import gather_rows, rank, world_size
from hf_contrastive.training.memory import keep_freed_memory, return_freed_memory
from hf_contrastive.training.model import ContrastiveModel, without_shared
from hf_contrastive.training.optimisation import add_learned_groups, move_to_own_group, update_learned

Evaluator = Callable[[Encode], dict[str, float]]


class ContrastiveTrainer(Trainer):
    """Fine-tune a sentence encoder with a contrastive objective.

    Args:
        model: a `SentenceEncoder`, wrapped as `args` say, or a `ContrastiveModel` of your own making.
        args: `ContrastiveTrainingArguments`.
        train_dataset: rows of text, columns called as `load_training_data` knows them (`text`; `anchor`, `positive`,
            `negative`; `sent0`, `sent1`, `hard_neg`), or rows already tokenised with `tokenize_dataset`.
        evaluator: from a function that encodes sentences to a dictionary of figures; called whenever the Trainer
            evaluates, its figures are logged as `eval_NAME`.
        negatives: a sampler, or what a recipe says under `negatives:`.
        max_length: tokens a sentence in training.
        kwargs: everything else `transformers.Trainer` takes.
    """

    default_negatives: str | list[str] = "in_batch"
    # The loss is a mean over anchors: the Trainer divides it under gradient accumulation.
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: SentenceEncoder | ContrastiveModel,
        args: ContrastiveTrainingArguments,
        train_dataset: Any = None,
        *,
        evaluator: Evaluator | None = None,
        negatives: NegativeSampler | str | list[Any] | dict[str, Any] | None = None,
        max_length: int = 32,
        data_collator: Any = None,
        **kwargs: Any,
    ) -> None:
        encoder = model.encoder if isinstance(model, ContrastiveModel) else model
        if isinstance(model, SentenceEncoder):
            chosen = negatives if negatives is not None else self.default_negatives
            model = contrastive_model(model, args, chosen, max_length=max_length)
        if train_dataset is not None:
            train_dataset = self._tokenised(train_dataset, encoder, max_length)
            check_enough_rows(train_dataset, args.train_batch_size, args.world_size)
            views = most_views(train_dataset)
            data_collator = data_collator or collator_for(views, encoder.tokenizer)
            check_regions(model.negatives, views)
        self.evaluator = evaluator
        self._embed_registered = False
        self._figures: dict[str, tuple[Tensor, int]] = {}  # sum and number of steps since the last log
        self._learned: list[NegativeSampler] = []
        self._train_seconds = 0.0  # since the last log
        self._train_sentences = 0
        self._seconds_before: float | None = None  # of earlier starts and logs of this run
        if isinstance(train_dataset, IterableDataset):
            # Dispatching from rank 0 would cut tensors along rows; every rank reads its own shards instead.
            args.accelerator_config.dispatch_batches = False
        if args.device.type == "cpu":
            saves_memory = args.recompute_chunks and args.encode_chunk_size is not None
            return_freed_memory() if saves_memory else keep_freed_memory()
        super().__init__(
            model,
            args,
            train_dataset=train_dataset,
            # The Trainer wants a dataset before it evaluates; `evaluate` below asks the evaluator instead.
            eval_dataset=kwargs.pop("eval_dataset", [] if evaluator is not None else None),
            data_collator=data_collator,
            processing_class=encoder.tokenizer,
            **kwargs,
        )

    @staticmethod
    def _tokenised(dataset: Any, encoder: SentenceEncoder, max_length: int) -> Any:
        present = dataset.column_names or list(next(iter(dataset)))
        if "tokens" in present:
            return dataset
        return tokenize_dataset(canonical_dataset(dataset, present), encoder.tokenizer, max_length)[0]

    @property
    def contrastive_model(self) -> ContrastiveModel:
        """The module under whatever DDP, FSDP or compile have put around it."""
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    @property
    def encoder(self) -> SentenceEncoder:
        """What is published."""
        return self.contrastive_model.encoder

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The Trainer's optimizer, with groups of their own for a new head and for each learned sampler."""
        if self.optimizer is None:
            optimizer = super().create_optimizer(model)
            head = self.encoder.head
            if head is not None and self.args.head_learning_rate is not None:
                move_to_own_group(optimizer, list(head.parameters()), lr=self.args.head_learning_rate)
            self._learned = add_learned_groups(optimizer, self.contrastive_model.negatives)
            optimizer.register_step_pre_hook(lambda *_: update_learned(self._learned, self.state.global_step))
        return self.optimizer

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clip the encoder's gradient; learned samplers clip theirs apart, so that neither scales the other's."""
        if not self._learned:
            return super()._clip_grad_norm(model)
        theirs = {id(p) for sampler in self._learned for p in sampler.parameters()}
        ours = [p for p in model.parameters() if id(p) not in theirs]
        return self.accelerator.clip_grad_norm_(ours, self.args.max_grad_norm)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass, timed for the log."""
        start = time.perf_counter()
        if self._seconds_before is None:
            self._seconds_before = logged_seconds(self.state)
        self.contrastive_model.contrast.step = self.state.global_step
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._train_seconds += time.perf_counter() - start
        self._train_sentences += (len(inputs["lengths"]) - len(inputs["negative_rows"])) // 2
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The model's own loss; its figures are kept for the next log."""
        outputs = model(**inputs)
        for name, value in outputs.metrics.items():
            total, steps = self._figures.get(name, (torch.zeros_like(value), 0))
            self._figures[name] = (total + value, steps + 1)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add alignment, uniformity and the like, averaged since the last log, to what the Trainer logs."""
        if "loss" in logs and self._figures:
            for name, (total, steps) in self._figures.items():
                logs[name] = (gather_rows(total.reshape(1).float()) / steps).mean().item()
            # Anchors a second, all ranks together; the optimizer and evaluation are not counted.
            logs["sentences_per_second"] = world_size() * self._train_sentences / max(self._train_seconds, 1e-9)
            self._seconds_before = (self._seconds_before or 0.0) + self._train_seconds
            logs["train_seconds"] = self._seconds_before
            self._figures = {}
            self._train_seconds, self._train_sentences = 0.0, 0
        super().log(logs, start_time)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Ask the evaluator; every rank encodes its share. Without an evaluator: the Trainer's own evaluation."""
        if self.evaluator is None or eval_dataset:
            return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)
        start = time.perf_counter()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.evaluator(self.encode).items()}
        metrics[f"{metric_key_prefix}_runtime"] = round(time.perf_counter() - start, 2)
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """`sentences` to float32 [N, D] on the CPU, the same on every rank; each rank encodes a share."""
        ranks, count = world_size(), len(sentences)
        options: dict[str, Any] = {"batch_size": self.args.per_device_eval_batch_size, "bf16": self.args.bf16}
        model: Any = self.model
        is_sharded = isinstance(model, FSDPModule)
        if is_sharded:
            if not self._embed_registered:
                register_fsdp_forward_method(model, "embed")
                self._embed_registered = True
            options["forward"] = model.embed
        if ranks == 1:
            return self.encoder.encode(sentences, **options)
        share = -(-count // ranks)
        # Every rank encodes equally many, the last ones some of the first again: FSDP's forwards are collective.
        mine = [sentences[i % count] for i in range(rank() * share, (rank() + 1) * share)]
        vectors = self.encoder.encode(mine, **options).to(self.args.device)
        return gather_rows(vectors)[:count].cpu()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Publishable: the encoder alone, without training state. Checkpoints keep the whole model."""
        if _internal_call:
            super().save_model(output_dir, _internal_call=True)
            return
        state = None
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            whole = self.accelerator.get_state_dict(self.model_wrapped)
            state = {k.removeprefix("encoder."): v for k, v in whole.items() if k.startswith("encoder.")}
        if self.args.should_save:
            self.encoder.save_pretrained(Path(output_dir or self.args.output_dir), state_dict=state)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A checkpoint's weights, each once."""
        state_dict = without_shared(self.model.state_dict() if state_dict is None else state_dict)
        super()._save(output_dir, {name: value.contiguous() for name, value in state_dict.items()})

    def load_finished(self, checkpoint: Path) -> None:
        """What training would have ended with, from its last checkpoint: the best model, or this one."""
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        best = self.state.best_model_checkpoint if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(best or str(checkpoint))

    def train_seconds(self) -> float:
        """Seconds spent in training steps so far, over all starts of the run."""
        before = logged_seconds(self.state) if self._seconds_before is None else self._seconds_before
        return round(before + self._train_seconds, 1)


class SimCSETrainer(ContrastiveTrainer):
    """Unsupervised SimCSE (Gao et al., 2021): two dropout masks make the positive pair, the batch the negatives."""


class SupervisedSimCSETrainer(ContrastiveTrainer):
    """Supervised SimCSE: entailment is the positive, contradictions in the batch are negatives too."""

    default_negatives = ["in_batch", "hard"]


def logged_seconds(state: TrainerState) -> float:
    """What the last log says of the time spent in training steps; a resumed run counts on from there."""
    return next((entry["train_seconds"] for entry in reversed(state.log_history) if "train_seconds" in entry), 0.0)
