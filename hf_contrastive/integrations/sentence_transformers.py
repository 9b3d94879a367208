"""The samplers of this package as a loss of sentence-transformers, in place of `MultipleNegativesRankingLoss`.

    model = SentenceTransformer("bert-base-uncased")
    loss = ContrastiveLoss(model, negatives=["in_batch", {"name": "adversarial", "k": 16}])
    SentenceTransformerTrainer(model, args, dataset, loss=loss, callbacks=loss.callbacks()).train()

Their trainer sees an ordinary loss: a module that holds the model as `model`, which it replaces by the wrapped one
under DDP or compile, and whose other parameters it puts into the optimizer. What it has no place for (the optimizer's
step, a learned sampler's own learning rate, a sampler's state in checkpoints) is in `callbacks`.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from hf_contrastive.arguments import OBJECTIVES, NegativesArguments, one_of
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.hub.citations import ACE, SIMCSE
from hf_contrastive.integrations.embedding_model import embed_columns, embedding_size, longest_sentence, pad_id
from hf_contrastive.integrations.token_ids import left_aligned, token_keys
from hf_contrastive.integrations.trainer_callback import SamplerCallback
from hf_contrastive.negatives import AdversarialNegatives, Filtered, Mixture, NegativeSampler
from hf_contrastive.training.bank import SentenceBank
from hf_contrastive.training.build import check_sampler, make_negatives, make_objective
from hf_contrastive.training.contrast import Contrast, EncodeTokens, Sentences

logger = logging.getLogger(__name__)

Features = dict[str, Any]


class ContrastiveLoss(nn.Module):
    """Contrast each anchor with its positive and with what a sampler proposes.

    The columns of the dataset, by their order: the anchor; its positive; any number of hard negatives. With one column
    only, the positive is the anchor encoded a second time, under another dropout mask (unsupervised SimCSE), as if the
    column were there twice. Labels are not looked at.

    Args:
        model: a `SentenceTransformer`.
        negatives: a sampler, or what a recipe says under `negatives:`: a name, a mapping, a list of them. Default: the
            batch, and the hard negatives of columns that have them.
        objective: infonce, sampled_softmax, negative_sampling, nce, triplet or order.
        temperature: cosines are divided by it; their `scale` is 1 / temperature.
        margin: of objectives triplet and order.
        bank_size: sentences of past steps that samplers can draw from, where they do.
        gather_across_ranks: in-batch negatives of all ranks, with exact gradients.
        mask_duplicates: never use a candidate whose text equals the anchor's or its positive's.
        seed: of the draws and of a learned sampler's initial values.
        max_length: tokens a sentence in the bank; default: the model's `max_seq_length`, which it must cover.

    Attributes:
        metrics: figures of the last call, detached scalars; `callbacks` logs them.

    Raises:
        RecipeError: sampler, objective and model do not fit each other.
    """

    def __init__(
        self,
        model: nn.Module,
        negatives: NegativeSampler | str | dict[str, Any] | list[Any] | None = None,
        objective: str = "infonce",
        temperature: float = 0.05,
        margin: float = 0.2,
        bank_size: int = 4096,
        gather_across_ranks: bool = True,
        mask_duplicates: bool = True,
        seed: int = 42,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(model, "max_seq_length"):
            raise RecipeError(f"model: expected a SentenceTransformer, got {type(model).__name__}")
        one_of("objective", objective, OBJECTIVES)
        options = NegativesArguments(mask_duplicates=mask_duplicates, bank_size=bank_size)
        chosen = negatives if negatives is not None else ["in_batch", "hard"]
        width = embedding_size(model)
        sampler = make_negatives(chosen, options, width, seed)
        contrast = make_objective(objective, temperature, margin)
        check_sampler(sampler, contrast, objective)
        if any(isinstance(part, Filtered) and part.known is not None for part in sampler.modules()):
            raise RecipeError(
                "negatives: sampler filtered compares known pairs by their text, but this loss is given token ids "
                "only; leave known out and use guide_margin, or train with hf_contrastive's own trainer"
            )
        bank = None
        if "bank" in sampler.needs:
            if width is None:
                raise RecipeError("negatives: the model does not say how many dimensions its embeddings have")
            bank = SentenceBank(options.bank_size, longest_sentence(model, max_length), width, pad_id(model))
        self.model = model
        self.contrast = Contrast(sampler, contrast, bank, gather_across_ranks, seed)
        self.metrics: dict[str, Tensor] = {}
        self._hard_is_optional = negatives is None
        self._wants_callbacks = True
        self._beside_tokens: Features | None = None
        self._config = {
            "negatives": chosen,
            "objective": objective,
            "temperature": temperature,
            **({"margin": margin} if objective in ("triplet", "order") else {}),
            **({"bank_size": bank_size} if bank is not None else {}),
            "gather_across_ranks": gather_across_ranks,
            "mask_duplicates": mask_duplicates,
        }

    @property
    def negatives(self) -> NegativeSampler:
        """Where negatives come from."""
        return self.contrast.negatives

    @property
    def step(self) -> int:
        """Optimizer steps so far: what schedules and random draws go by. `callbacks` sets it; so can your own loop.

        A loop of your own that trains a learned sampler also does what
        `hf_contrastive.training.optimisation.add_learned_groups` and `update_learned` do for ours.
        """
        return self.contrast.step

    @step.setter
    def step(self, step: int) -> None:
        self.contrast.step = step
        self._wants_callbacks = False

    def callbacks(
        self, resume_from_checkpoint: str | Path | None = None, name: str | None = None
    ) -> list[TrainerCallback]:
        """What to give to the trainer as `callbacks` when it is made, together with this loss.

        Args:
            resume_from_checkpoint: the checkpoint the trainer resumes from; only where it is not one of its own
                `output_dir`.
            name: goes into the name of the file in checkpoints and into those of figures in the log; where one
                trainer has several of these losses, each needs its own.
        """
        return [SamplerCallback(self, resume_from_checkpoint, name)]

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """Mean loss of the anchors, scalar.

        Args:
            sentence_features: of each column what the tokeniser gives: `input_ids` and `attention_mask` [B, l], l
                not the same for all columns, and what else the model reads.
            labels: not looked at.

        Raises:
            DataError: the columns do not fit the sampler, or their features are not those of padded texts.
            RecipeError: the sampler cannot be trained without `callbacks`.
        """
        columns = list(sentence_features)
        self._check_columns(len(columns))
        training = self.model.training and torch.is_grad_enabled()  # a trainer switches its model, never its loss
        if training:
            self._check_callbacks()
        self.contrast.train(training)
        ids = [_ids_and_mask(features, number) for number, features in enumerate(columns)]
        if len(columns) == 1:
            # A copy: the forward pass writes into what it is given, and some versions of pooling into the mask too.
            columns = [columns[0], {**columns[0], "attention_mask": ids[0][1].clone()}]
            ids = [ids[0], ids[0]]
        keys = [token_keys(*column) for column in ids]
        positives = left_aligned(*ids[1]) if self.contrast.bank is not None else None
        encode = self._encode_like(columns[1])
        vectors = [nn.functional.normalize(column, dim=-1) for column in embed_columns(self.model, columns)]
        hard = None
        if len(columns) > 2:
            rows = torch.arange(len(keys[0]), device=keys[0].device).repeat(len(columns) - 2)
            hard = Sentences(torch.cat(vectors[2:]), torch.cat(keys[2:]), rows)
        loss, self.metrics = self.contrast(
            Sentences(vectors[0], keys[0]), self._positives(vectors[1], keys[1], positives), hard, encode
        )
        return loss

    def _positives(self, vectors: Tensor, keys: Tensor, tokens: tuple[Tensor, Tensor] | None) -> Sentences:
        """Positives, with tokens no wider than the bank where there is one."""
        bank = self.contrast.bank
        if bank is None or tokens is None:
            return Sentences(vectors, keys)
        (ids, mask), length = tokens, bank.tokens.shape[1]
        if ids.shape[1] > length and bool(mask[:, length:].any()):
            raise DataError(
                f"max_length: a positive has {int(mask.sum(1).max())} tokens, rows of the bank have room for "
                f"{length}; set the model's max_seq_length before the loss is made"
            )
        if vectors.shape[1] != bank.vectors.shape[1]:
            raise DataError(
                f"negatives: embeddings have {vectors.shape[1]} dimensions here, those of the bank "
                f"{bank.vectors.shape[1]}; a loss that cuts embeddings (Matryoshka) needs samplers without a bank"
            )
        return Sentences(vectors, keys, input_ids=ids[:, :length], attention_mask=mask[:, :length])

    def _encode_like(self, positives: Features) -> EncodeTokens:
        """What encodes rows of the bank: the model, given what it is given for the positives, with other tokens."""
        positives = dict(positives)  # as they are now, before a forward pass writes into them

        def encode(input_ids: Tensor, attention_mask: Tensor, lengths: list[int]) -> Tensor:
            features = self._bank_inputs(positives) | {"input_ids": input_ids, "attention_mask": attention_mask}
            if "token_type_ids" in positives:
                features["token_type_ids"] = torch.zeros_like(input_ids)
            return nn.functional.normalize(self.model(features)["sentence_embedding"], dim=-1)

        return encode

    def _bank_inputs(self, positives: Features) -> Features:
        """What the model reads beside the tokens, prompt and task, which must be that of all the bank's rows."""
        if self._beside_tokens is not None and not self.contrast.training:
            return dict(self._beside_tokens)  # its rows are of training, whatever is evaluated
        beside = {key: value for key, value in positives.items() if key not in _PER_TOKEN}
        if isinstance(beside.get("prompt_length"), Tensor):
            beside["prompt_length"] = int(beside["prompt_length"].flatten()[0])  # the same for all rows
        if more := sorted(key for key, value in beside.items() if isinstance(value, Tensor)):
            raise DataError(f"negatives: a bank keeps token ids; it cannot encode {', '.join(more)} of the positives")
        before = self._beside_tokens if self._beside_tokens is not None else beside
        if changed := sorted(key for key in beside | before if beside.get(key) != before.get(key)):
            raise DataError(
                f"negatives: positives come with more than one {', '.join(changed)}, which a bank does not keep; "
                "use one prompt and task for all of them, or a loss for each dataset"
            )
        if self.contrast.training:
            self._beside_tokens = beside
        return dict(beside)

    def _check_columns(self, count: int) -> None:
        """Refuse columns that no sampler reads, and samplers whose columns are missing."""
        if count == 0:
            raise DataError("the batch has no column of texts; give the dataset an anchor and a positive")
        reads_hard = "hard" in self.negatives.needs
        if count > 2 and not reads_hard:
            raise DataError(
                f"negatives: the data have {count} columns, the third and later ones hard negatives that no sampler "
                "uses; add hard, for instance negatives=['in_batch', 'hard'], or drop these columns"
            )
        if count <= 2 and reads_hard and not self._hard_is_optional:
            raise DataError(
                f"negatives: sampler hard finds no hard negatives: the data have {count} column(s); put them behind "
                "anchor and positive, or leave hard out"
            )

    def _check_callbacks(self) -> None:
        """Refuse to train without `callbacks` what would be trained wrongly; warn, once, where only a resume would."""
        if not self._wants_callbacks:
            return
        if self.negatives.learned() or any(_is_scheduled(part) for part in self.negatives.modules()):
            raise RecipeError(
                "negatives: a sampler that learns or follows a schedule has to know the optimizer's step; give the "
                "trainer callbacks=loss.callbacks()"
            )
        if self.contrast.state_dict():
            logger.warning("The bank of negatives is in no checkpoint; give the trainer callbacks=loss.callbacks().")
        self._wants_callbacks = False

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says of this loss."""
        return dict(self._config)

    @property
    def citation(self) -> str:
        """BibTeX, for the model card."""
        learned = any(isinstance(m, AdversarialNegatives) for m in self.negatives.modules())
        return ACE if learned else SIMCSE


# Features that differ from token to token; a bank has its own.
_PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids")


def _ids_and_mask(features: Features, number: int) -> tuple[Tensor, Tensor]:
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if not isinstance(ids, Tensor) or not isinstance(mask, Tensor) or ids.shape != mask.shape or ids.dim() != 2:
        raise DataError(
            f"column {number} comes with {', '.join(sorted(features))}, but this loss tells texts apart by padded "
            "input_ids and their attention_mask; where flash attention joins all texts into one row, set "
            "`model[0].unpad_inputs = False`; models of other inputs need another loss"
        )
    return ids, mask


def _is_scheduled(part: nn.Module) -> bool:
    return isinstance(part, Mixture) and part.schedule["start"] != part.schedule["end"]
