"""Sentences: from a recipe to a folder with an encoder, measured before and after."""

import logging
from pathlib import Path
from typing import Any

from transformers import set_seed

from hf_contrastive.data import NLI_LABELS, label_names, load_training_data, tokenize_dataset
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.files import write_json
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import Recipe
from hf_contrastive.training.build import contrastive_model, make_augmentation
from hf_contrastive.training.checkpoints import (
    check_fits,
    check_same_recipe,
    check_writable,
    is_last_step,
    last_complete_checkpoint,
)
from hf_contrastive.training.measure import Measurements, dev_evaluator, show_gain
from hf_contrastive.training.trainer import ContrastiveTrainer

logger = logging.getLogger(__name__)


def train(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe from wherever it stopped last; returns what `results.json` holds."""
    args = recipe.training
    output_dir = Path(args.output_dir)
    check_writable(output_dir)
    resume = args.resume_from_checkpoint or last_complete_checkpoint(output_dir)
    if resume is not None:
        check_same_recipe(output_dir, recipe.text)
    # Evaluation data is read first: it is small, and a mistake in it must not wait for a corpus to be tokenised.
    measurements = Measurements(recipe.evaluation, output_dir)
    evaluator = dev_evaluator(recipe.evaluation) if args.eval_strategy != "no" else None
    set_seed(args.seed)

    encoder = load_encoder(recipe)
    encoder.check_positions(recipe.data.max_length)
    augmentation = make_augmentation(recipe.data.augmentation_config, encoder)
    if resume is not None:
        logger.info("resuming from %s", resume)
    with args.main_process_first(desc="tokenisation"):
        dataset = load_training_data(recipe.data)
        dataset, _ = tokenize_dataset(
            dataset,
            encoder.tokenizer,
            recipe.data.max_length,
            recipe.data.preprocessing_workers,
            keep_text=augmentation is not None,
        )
    model = contrastive_model(
        encoder,
        args,
        recipe.negatives.sampler_configs,
        recipe.negatives,
        recipe.data.max_length,
        classes=len(label_names(dataset.features) or NLI_LABELS),
    )
    trainer = ContrastiveTrainer(
        model, args, dataset, evaluator=evaluator, max_length=recipe.data.max_length, augmentation=augmentation
    )
    if resume is not None:
        check_fits(Path(resume), model)
    if args.should_save:
        write_json(output_dir / "recipe.json", recipe.text)

    before = measurements.before(trainer)
    if resume is not None and is_last_step(Path(resume)):
        trainer.load_finished(Path(resume))
    else:
        trainer.train(resume_from_checkpoint=str(resume) if resume is not None else None)
    final = output_dir / "final"
    trainer.save_model(str(final))
    results = {
        "before": before,
        "after": measurements.after(trainer),
        "best_dev": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
        "train_seconds": trainer.train_seconds(),
        "recipe": recipe.text,
        "environment": environment(),
    }
    if args.should_save:
        write_json(output_dir / "results.json", results)
        show_gain(results, final)
    return results


def load_encoder(recipe: Recipe) -> SentenceEncoder:
    """The encoder a recipe trains, with the pooler it is tested with."""
    options = recipe.model
    lora = None
    if options.lora_r:
        lora = {
            "r": options.lora_r,
            "alpha": options.lora_alpha,
            "dropout": options.lora_dropout,
            "target_modules": options.lora_target_modules,
        }
    encoder = SentenceEncoder.from_pretrained(
        options.model_name_or_path,
        revision=options.model_revision,
        pooler=options.pooler,
        head=options.head,
        max_length=recipe.evaluation.eval_max_length,
        dropout=options.dropout,
        fast_dropout=options.fast_dropout,
        attn_implementation=options.attn_implementation,
        trust_remote_code=options.trust_remote_code,
        lora=lora,
    )
    if recipe.evaluation.eval_pooler is not None:
        encoder.eval_pooler = recipe.evaluation.eval_pooler
    return encoder
