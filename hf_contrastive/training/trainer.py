"""The stock Trainer, told how to log, evaluate and save a contrastive model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import IterableDataset
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from hf_contrastive.arguments import ContrastiveTrainingArguments
from hf_contrastive.augmentations import Augmentation
from hf_contrastive.data import (
    NLI_LABELS,
    AugmentedPositiveCollator,
    LabelledPairCollator,
    canonical_dataset,
    check_augments,
    check_enough_rows,
    collator_for,
    label_names,
    rows_to_augment,
    tokenize_dataset,
)
from hf_contrastive.evaluation.encoding import Encode
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.training.build import check_rows, contrastive_model, make_augmentation
from hf_contrastive.training.distributed import gather_rows, rank, world_size
from hf_contrastive.training.epochs import TellEpoch
from hf_contrastive.training.figures_trainer import FiguresTrainer
from hf_contrastive.training.memory import keep_freed_memory, return_freed_memory
from hf_contrastive.training.model import ContrastiveModel
from hf_contrastive.training.optimisation import move_to_own_group
from hf_contrastive.training.pair_classification import PairClassificationModel
from hf_contrastive.training.sentence_model import SentenceModel, without_shared

Evaluator = Callable[[Encode], dict[str, float]]


class ContrastiveTrainer(FiguresTrainer):
    """Fine-tune a sentence encoder with a contrastive objective.

    Args:
        model: a `SentenceEncoder`, wrapped as `args` say, or a `ContrastiveModel` or `PairClassificationModel` of your
            own making.
        args: `ContrastiveTrainingArguments`.
        train_dataset: rows of text, columns called as `load_training_data` knows them (`text`; `anchor`, `positive`,
            `negative`; `sent0`, `sent1`, `hard_neg`; `sentence1`, `sentence2`, `label`), or rows already tokenised
            with `tokenize_dataset`.
        evaluator: from a function that encodes sentences to a dictionary of figures; called whenever the Trainer
            evaluates, its figures are logged as `eval_NAME`.
        negatives: a sampler, or what a recipe says under `negatives:`.
        max_length: tokens a sentence in training.
        augmentation: makes the positive of each sentence, or what a recipe says under `augmentation:`; the data then
            have no positives of their own.
        kwargs: everything else `transformers.Trainer` takes.
    """

    default_negatives: str | list[str] = "in_batch"

    def __init__(
        self,
        model: SentenceEncoder | ContrastiveModel | PairClassificationModel,
        args: ContrastiveTrainingArguments,
        train_dataset: Any = None,
        *,
        evaluator: Evaluator | None = None,
        negatives: NegativeSampler | str | list[Any] | dict[str, Any] | None = None,
        max_length: int = 32,
        augmentation: Augmentation | str | dict[str, Any] | None = None,
        data_collator: Any = None,
        **kwargs: Any,
    ) -> None:
        encoder = model.encoder if isinstance(model, SentenceModel) else model
        if isinstance(model, SentenceEncoder):
            chosen = negatives if negatives is not None else self.default_negatives
            labels = label_names(getattr(train_dataset, "features", None)) or NLI_LABELS
            model = contrastive_model(model, args, chosen, max_length=max_length, classes=len(labels))
        augmentation = make_augmentation(augmentation, encoder)
        if train_dataset is not None:
            train_dataset = self._tokenised(train_dataset, encoder, max_length, augmentation is not None)
            views = check_rows(train_dataset, model, augmentation is not None)
            if augmentation is not None:
                train_dataset = rows_to_augment(train_dataset, augmentation)
                data_collator = AugmentedPositiveCollator(
                    encoder.tokenizer, augmentation=augmentation, max_length=max_length, seed=args.seed
                )
                check_augments(train_dataset, data_collator)
            check_enough_rows(train_dataset, args.train_batch_size, args.world_size)
            if data_collator is None and isinstance(model, PairClassificationModel):
                data_collator = LabelledPairCollator(encoder.tokenizer)
            data_collator = data_collator or collator_for(views, encoder.tokenizer)
        self._embed_registered = False
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
            evaluator=evaluator,
            data_collator=data_collator,
            processing_class=encoder.tokenizer,
            **kwargs,
        )
        if isinstance(data_collator, AugmentedPositiveCollator):
            self.add_callback(TellEpoch(data_collator))

    @staticmethod
    def _tokenised(dataset: Any, encoder: SentenceEncoder, max_length: int, keep_text: bool) -> Any:
        present = dataset.column_names or list(next(iter(dataset)))
        if "tokens" in present:
            return dataset
        return tokenize_dataset(
            canonical_dataset(dataset, present), encoder.tokenizer, max_length, keep_text=keep_text
        )[0]

    @property
    def encoder(self) -> SentenceEncoder:
        """What is published."""
        return self.contrastive_model.encoder

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The Trainer's optimizer, with groups of their own for a new head and for each learned sampler."""
        if self.optimizer is None:
            optimizer = super().create_optimizer(model)
            encoders = self.contrastive_model.encoders
            heads = [encoder.head for encoder in encoders if encoder.head is not None]
            if heads and self.args.head_learning_rate is not None:
                parameters = [parameter for head in heads for parameter in head.parameters()]
                move_to_own_group(optimizer, parameters, lr=self.args.head_learning_rate)
            self.learn_apart(optimizer, self.contrastive_model.negatives)
        return self.optimizer

    def measure(self) -> dict[str, float]:
        """Ask the evaluator; every rank encodes its share."""
        assert self.evaluator is not None
        return self.evaluator(self.encode)

    def count(self, inputs: dict[str, Any]) -> int:
        """Anchors: all sentences but the hard negatives are pairs."""
        return (len(inputs["lengths"]) - len(inputs.get("negative_rows", ()))) // 2

    def batch_figures(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
        """Of positives that an augmentation makes, the share it left as they are."""
        if not isinstance(self.data_collator, AugmentedPositiveCollator):
            return {}
        anchors, positives = inputs["keys"].chunk(2)
        return {"unchanged_positives": (anchors == positives).float().mean()}

    def set_step(self, step: int) -> None:
        """What draws and schedules of the samplers follow from."""
        self.contrastive_model.set_step(step)

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
        state = self._whole_encoder()
        if self.args.should_save:
            self.encoder.save_pretrained(Path(output_dir or self.args.output_dir), state_dict=state)

    def save_adapter(self, output_dir: str) -> None:
        """The encoder's adapters alone; as `save_model`, called by all processes.

        Raises:
            CheckpointError: the encoder has none.
        """
        state = self._whole_encoder()
        if self.args.should_save:
            self.encoder.save_adapter(output_dir, state_dict=state)

    def _whole_encoder(self) -> dict[str, Tensor] | None:
        """The encoder's weights where each process has shards of them, else `None`."""
        if not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            return None
        whole = self.accelerator.get_state_dict(self.model_wrapped)
        return {k.removeprefix("encoder."): v for k, v in whole.items() if k.startswith("encoder.")}

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A checkpoint's weights, each once."""
        state_dict = without_shared(self.model.state_dict() if state_dict is None else state_dict)
        super()._save(output_dir, {name: value.contiguous() for name, value in state_dict.items()})


class SimCSETrainer(ContrastiveTrainer):
    """Unsupervised SimCSE (Gao et al., 2021): two dropout masks make the positive pair, the batch the negatives."""


class SupervisedSimCSETrainer(ContrastiveTrainer):
    """Supervised SimCSE: entailment is the positive, contradictions in the batch are negatives too."""

    default_negatives = ["in_batch", "hard"]
