"""From arguments to the module that is trained, and whether data and sampler fit each other."""

import copy
import itertools
import logging
from dataclasses import fields
from typing import Any

import pyarrow.compute as pc  # type: ignore[import-untyped]
from datasets import Dataset

from hf_contrastive.arguments import SOFTMAX_CLASSIFIER, ContrastiveTrainingArguments, NegativesArguments
from hf_contrastive.augmentations import Augmentation, build_augmentation
from hf_contrastive.data import check_labels, label_names, load_known_pairs
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.negatives import CachedNegatives, InBatchNegatives, NegativeSampler, build_negatives
from hf_contrastive.objectives import OBJECTIVES, Objective, Order, Triplet
from hf_contrastive.training.bank import SentenceBank
from hf_contrastive.training.corrected_draws import check_corrected_draws
from hf_contrastive.training.model import ContrastiveModel
from hf_contrastive.training.pair_classification import PairClassificationModel
from hf_contrastive.training.sentence_model import SentenceModel

logger = logging.getLogger(__name__)


def contrastive_model(
    encoder: SentenceEncoder,
    args: ContrastiveTrainingArguments,
    negatives: Any,
    options: NegativesArguments | None = None,
    max_length: int = 32,
    classes: int = 3,
) -> ContrastiveModel | PairClassificationModel:
    """Wrap an encoder as the arguments say.

    Args:
        negatives: a sampler, or what a recipe says under `negatives:`.
        options: what else a recipe says of negatives.
        max_length: tokens a sentence in training; what a bank stores.
        classes: of the labels, for objective softmax_classifier.

    Raises:
        RecipeError: sampler and objective do not fit each other or the task, or the encoder cannot be trained.
    """
    if args.two_encoders and args.same_dropout_mask:
        raise RecipeError("same_dropout_mask: masks of two encoders have nothing in common; leave two_encoders out")
    if encoder.projection is not None:
        raise RecipeError(
            "model_name_or_path: the model ends in a linear map that was fitted to its vectors as they are, such as a "
            "whitening; train the model it was fitted to, and fit it again afterwards"
        )
    options = options if options is not None else NegativesArguments()
    chunks: dict[str, Any] = {"chunk_size": args.encode_chunk_size, "recompute": args.recompute_chunks}
    if args.objective == SOFTMAX_CLASSIFIER:
        check_no_negatives(negatives, options)
        return PairClassificationModel(encoder, classes, **chunks)
    negatives = make_negatives(negatives, options, encoder.width, args.seed)
    objective = make_objective(args.objective, args.temperature, args.margin)
    check_sampler(negatives, objective, args.objective)
    bank = None
    if "bank" in negatives.needs:
        bank = SentenceBank(options.bank_size, max_length, encoder.width, encoder.tokenizer.pad_token_id)
    return ContrastiveModel(
        encoder,
        negatives,
        objective,
        bank=bank,
        second_encoder=copy.deepcopy(encoder) if args.two_encoders else None,
        same_dropout_mask=args.same_dropout_mask,
        reverse=InBatchNegatives(options.mask_duplicates) if args.symmetric else None,
        mlm_weight=args.mlm_weight,
        mlm_probability=args.mlm_probability,
        **chunks,
        gather=options.gather_across_ranks,
        seed=args.seed,
    )


def make_negatives(negatives: Any, options: NegativesArguments, width: int | None, seed: int) -> NegativeSampler:
    """The sampler itself, or the one that a recipe means by `negatives`.

    Args:
        width: size of the vectors, for samplers that learn.
        seed: of a learned sampler's initial values.
    """
    if isinstance(negatives, NegativeSampler):
        return negatives
    configs = NegativesArguments(negatives=negatives).sampler_configs
    shared = {"mask_duplicates": options.mask_duplicates, "width": width, "seed": seed}
    return build_negatives(with_known_pairs(configs), **shared)


def make_augmentation(
    augmentation: Augmentation | dict[str, Any] | str | None, encoder: SentenceEncoder
) -> Augmentation | None:
    """The augmentation itself, or the one that a recipe means by `augmentation`."""
    if augmentation is None or isinstance(augmentation, Augmentation):
        return augmentation
    return build_augmentation(
        augmentation, tokenizer=encoder.tokenizer, checkpoint=encoder.backbone.config._name_or_path
    )


def make_objective(name: str, temperature: float, margin: float) -> Objective:
    """The objective of that name; triplet and order have a margin, in cosines whatever the temperature."""
    kind = OBJECTIVES[name]
    return kind(temperature, margin / temperature) if kind in (Triplet, Order) else kind(temperature)


def check_sampler(negatives: NegativeSampler, objective: Objective, name: str) -> None:
    """Refuse a sampler that reads what sentences do not have, or whose draws the objective cannot correct."""
    if "counts" in negatives.needs:
        raise RecipeError(
            "negatives: sampler unigram needs counts of its candidates, which sentences lack; use uniform"
        )
    if objective.needs_log_q and not negatives.gives_log_q:
        raise RecipeError(
            f"objective: {name} needs negatives drawn with a known probability; use uniform, or objective: infonce"
        )
    check_corrected_draws(negatives, objective, name)


def check_no_negatives(negatives: Any, options: NegativesArguments) -> None:
    """Refuse what would be said of negatives where there are none; the default is nothing said."""
    given = [each.name for each in fields(options) if getattr(options, each.name) != each.default]
    if negatives not in ("in_batch", [{"name": "in_batch"}]) and "negatives" not in given:
        given.append("negatives")
    if given:
        raise RecipeError(f"{given[0]}: objective softmax_classifier has no negatives; leave out {', '.join(given)}")


def with_known_pairs(config: Any) -> Any:
    """A sampler's configuration in which `known: FILE` has become the pairs of that file."""
    if isinstance(config, list):
        return [with_known_pairs(part) for part in config]
    if not isinstance(config, dict):
        return config
    return {
        key: load_known_pairs(value) if key == "known" and isinstance(value, str) else with_known_pairs(value)
        for key, value in config.items()
    }


def most_views(dataset: Any, rows: int = 1000) -> int:
    """Sentences a row, at most, of a tokenised dataset: 1 dropout pairs, 2 pairs, more: hard negatives, in some rows.

    Of a stream only the first `rows` rows are looked at.
    """
    if isinstance(dataset, Dataset):
        tokens = dataset.select_columns("tokens").with_format("arrow")[:]["tokens"]
        return pc.max(pc.list_value_length(tokens)).as_py()
    return max(len(row["tokens"]) for row in itertools.islice(iter(dataset), rows))


def check_rows(dataset: Any, model: SentenceModel, augmented: bool) -> int:
    """Refuse tokenised rows that the model cannot be trained on; returns how many sentences a row has at most."""
    views = most_views(dataset)
    labels = label_names(dataset.features)
    if isinstance(model, PairClassificationModel):
        if augmented:
            raise RecipeError("augmentation: labelled pairs have no positives to make; leave augmentation out")
        check_labels(dataset)
        if labels is not None and len(labels) != model.classifier.classes:
            raise DataError(
                f"labels: the data have {len(labels)} classes and the model tells {model.classifier.classes} apart"
            )
        return views
    if labels is not None:
        raise DataError(
            "columns: the pairs have labels, which only objective softmax_classifier reads; set it, or map anchor "
            "and positive instead"
        )
    assert isinstance(model, ContrastiveModel)
    check_views(views, model.same_dropout_mask, augmented)
    check_regions(model.negatives, views)
    if isinstance(dataset, Dataset):
        warn_of_short_caches(model, len(dataset))
    return views


def warn_of_short_caches(model: ContrastiveModel, rows: int) -> None:
    """Say that caches of hard negatives cannot last where the bank forgets their rows before their anchor comes again.

    An anchor comes by every `rows` sentences. About 1 / 6 of its cache is left then in a bank of as many, a half in
    one of twice as many.
    """
    bank = model.contrast.bank
    if bank is None or len(bank) >= 2 * rows:
        return
    if any(isinstance(module, CachedNegatives) for module in model.negatives.modules()):
        logger.warning(
            "negatives: cached: a bank of %s sentences has overwritten most of what an anchor cached before the "
            "anchor comes again, %s rows later: its draws are then nearly uniform; set bank_size to %s or more, or "
            "use adversarial",
            *(f"{number:,}" for number in (len(bank), rows, 2 * rows)),
        )


def check_views(views: int, same_dropout_mask: bool, augmented: bool) -> None:
    """Refuse data whose positives are given where something else would make them."""
    if augmented and views != 1:
        raise DataError(f"augmentation: it makes the positives of single sentences, and the rows have {views}")
    if same_dropout_mask and (augmented or views != 1):
        what = "an augmentation makes" if augmented else "the data bring"
        raise RecipeError(
            f"same_dropout_mask: two views of one sentence can have the same mask, and {what} other positives; "
            "leave one of the two out"
        )


def check_regions(sampler: NegativeSampler, views: int) -> None:
    """Refuse data whose hard negatives no sampler reads, and samplers whose hard negatives the data lack."""
    if views > 2 and "hard" not in sampler.needs:
        raise DataError(
            "negatives: the data have hard negatives that no sampler uses; add hard, for instance "
            "`negatives: [in_batch, hard]`, or leave their columns out of `columns`"
        )
    if views <= 2 and "hard" in sampler.needs:
        raise DataError(
            "negatives: sampler hard finds no hard negatives in the data; name their columns, "
            "`columns: {anchor: ..., positive: ..., negatives: [COLUMN]}`"
        )
