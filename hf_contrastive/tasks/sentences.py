"""Sentences: from a recipe to a folder with an encoder, measured before and after."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from transformers import set_seed

from hf_contrastive.data import NLI_LABELS, label_names, load_training_data, tokenize_dataset
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import Recipe
from hf_contrastive.tasks.runs import begin, finish, resume_point, show_model, train_to_end
from hf_contrastive.training.build import contrastive_model, make_augmentation
from hf_contrastive.training.measure import Measurements, dev_evaluator
from hf_contrastive.training.trainer import ContrastiveTrainer


def train(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe from wherever it stopped last; returns what `results.json` holds."""
    args = recipe.training
    resume = resume_point(recipe)
    # Evaluation data is read first: it is small, and a mistake in it must not wait for a corpus to be tokenised.
    measurements = Measurements(recipe.evaluation, Path(args.output_dir))
    evaluator = dev_evaluator(recipe.evaluation) if args.eval_strategy != "no" else None
    set_seed(args.seed)

    encoder = load_encoder(recipe)
    encoder.check_positions(recipe.data.max_length)
    augmentation = make_augmentation(recipe.data.augmentation_config, encoder)
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
    begin(trainer, recipe, resume)
    before = measurements.before(trainer)
    figures = train_to_end(trainer, resume)
    trainer.save_model(str(Path(args.output_dir) / "final"))  # by all processes: FSDP has the weights in shards
    if recipe.model.lora_r:
        trainer.save_adapter(str(Path(args.output_dir) / "adapter"))
    after = measurements.after(trainer)
    results = {"before": before, "after": after, **figures, "recipe": recipe.text, "environment": environment()}
    finish(recipe, results, None, partial(show, results))
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


def show(results: dict[str, Any], folder: Path) -> None:
    """Print what a run gained, and how to load what it left."""
    console = Console()
    table = Table("Spearman x 100", "before", "after", "gain", title=f"{folder.parent}: before and after")
    for name, before, after in _common_figures(results["before"], results["after"]):
        table.add_row(name, f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * (after - before):+.2f}")
    console.print(table)
    console.print(f"before: {results['before']['name']}; after: {results['after']['name']}", highlight=False)
    show_model(
        folder,
        "from hf_contrastive.models import SentenceEncoder  # or sentence_transformers.SentenceTransformer",
        f'encoder = SentenceEncoder.from_pretrained("{folder}")  # SentenceTransformer("{folder}")',
        'encoder.encode(["any sentence"])',
    )


def _common_figures(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    for name in ("dev", "test"):
        key = "dev_spearman" if name == "dev" else "spearman"
        if name in before and name in after:
            yield name, before[name][key], after[name][key]
    if before.get("sts") and after.get("sts"):
        for task, score in before["sts"]["scores"].items():
            yield task, score["spearman"], after["sts"]["scores"][task]["spearman"]
        yield "STS average", before["sts"]["average"], after["sts"]["average"]
    if before.get("transfer") and after.get("transfer"):
        yield "transfer average (accuracy)", before["transfer"]["average"], after["transfer"]["average"]
    if before.get("retrieval") and after.get("retrieval"):
        yield "retrieval average (nDCG@10)", before["retrieval"]["average"], after["retrieval"]["average"]
