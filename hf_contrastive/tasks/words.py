"""Words: from a recipe to a folder with word vectors, measured on word similarity and analogies."""

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hf_contrastive.arguments import WordEvaluationArguments
from hf_contrastive.data import Vocabulary, load_word_corpus
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.evaluation import WordSimilarity, WordSimilarityScore, evaluate_analogies, similarity_table
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.models import WordVectors
from hf_contrastive.models.static_embedding import write_static_embedding
from hf_contrastive.models.word_embedding import WordEmbeddingModel
from hf_contrastive.recipe import Recipe
from hf_contrastive.tasks.runs import finish, resume_point, run, show_model
from hf_contrastive.training.words import WordTrainer, contrastive_word_model


def train(recipe: Recipe) -> dict[str, Any]:
    """Run a recipe from wherever it stopped last; returns what `results.json` holds."""
    args, data = recipe.training, recipe.data
    resume = resume_point(recipe)
    similarity = similarity_sets(recipe.evaluation)
    if recipe.evaluation.analogy_data and not Path(recipe.evaluation.analogy_data).is_file():
        raise DataError(f"analogy_data: {recipe.evaluation.analogy_data}: no such file; name questions-words.txt")
    if similarity is None and args.eval_strategy != "no":
        raise RecipeError("similarity_data: none to evaluate with; set HF_CONTRASTIVE_DATA or name a folder")
    with args.main_process_first(desc="corpus"):
        corpus = load_word_corpus(
            data.train_data,
            tokenizer=data.tokenizer,
            min_count=data.min_count,
            max_vocabulary=data.max_vocabulary,
            max_rows=data.max_train_rows,
            cache_dir=Path(data.cache_dir),
            train_data_name=data.train_data_name,
            train_split=data.train_split,
        )
    vocabulary = corpus.vocabulary
    model = contrastive_word_model(corpus, recipe.model, data, recipe.negatives, args)
    evaluator = similarity_evaluator(similarity, vocabulary) if similarity is not None else None
    trainer = WordTrainer(model, args, corpus, chunk_words=data.chunk_words, evaluator=evaluator)
    figures = run(trainer, recipe, resume)
    words = trainer.contrastive_model.published
    vectors = word_vectors(words, vocabulary)
    results = {
        "after": measured(vectors, similarity, recipe.evaluation),
        **figures,
        "words": int(len(corpus.ids) * (figures["epochs"] or 0)),
        "vocabulary": len(vocabulary),
        "recipe": recipe.text,
        "environment": environment(),
    }
    save = partial(save_words, model=words, vocabulary=vocabulary, vectors=vectors)
    finish(recipe, results, save, partial(show, results))
    return results


def similarity_sets(args: WordEvaluationArguments) -> WordSimilarity | None:
    """The sets a recipe names, those of `HF_CONTRASTIVE_DATA`, or none."""
    source = args.similarity_data
    if source is None and os.environ.get("HF_CONTRASTIVE_DATA"):
        folder = Path(os.environ["HF_CONTRASTIVE_DATA"]) / "wordsim"
        source = str(folder) if folder.is_dir() else None
    return WordSimilarity(source, args.oov) if source is not None else None


def similarity_evaluator(
    sets: WordSimilarity, vocabulary: Vocabulary
) -> Callable[[WordEmbeddingModel], dict[str, float]]:
    """What the Trainer calls: Spearman of every set with enough known pairs, by its name."""

    def evaluate(model: WordEmbeddingModel) -> dict[str, float]:
        scores = sets.measure(vocabulary.index, model.input_embeddings).scores
        return {name: score.spearman for name, score in scores.items() if score.spearman is not None}

    return evaluate


def word_vectors(model: WordEmbeddingModel, vocabulary: Vocabulary) -> WordVectors:
    """The input table with its words."""
    vectors = model.input_embeddings.detach().float().cpu().numpy().astype(np.float32)
    return WordVectors(vocabulary.words, vectors, vocabulary.counts)


def measured(vectors: WordVectors, similarity: WordSimilarity | None, args: WordEvaluationArguments) -> dict[str, Any]:
    """Everything the recipe asked for."""
    figures: dict[str, Any] = {}
    if similarity is not None:
        figures["similarity"] = asdict(similarity.measure(vectors.index, vectors.vectors))
    if args.analogy_data is not None:
        result = evaluate_analogies(vectors, args.analogy_data)
        parts = {"total": result.total, "semantic": result.semantic, "syntactic": result.syntactic}
        figures["analogies"] = {name: {**asdict(part), "accuracy": part.accuracy} for name, part in parts.items()}
    return figures


def save_words(folder: Path, model: WordEmbeddingModel, vocabulary: Vocabulary, vectors: WordVectors) -> None:
    """A folder that our model class, SentenceTransformer and (with `hf-contrastive words export`) gensim load."""
    model.save_pretrained(folder)
    vocabulary.save(folder)
    tokenizer = model.config.tokenizer
    write_static_embedding(folder, vectors.words, vectors.vectors, tokenizer=tokenizer, subfolder="0_StaticEmbedding")


def show(results: dict[str, Any], folder: Path) -> None:
    """Print the table, and how to load what was left."""
    figures = results["after"].get("similarity", {"scores": {}})["scores"]
    scores = {name: WordSimilarityScore(**figures[name]) for name in figures}
    console = Console()
    console.print(similarity_table(scores, f"{folder.parent}: word similarity"))
    for name, part in results["after"].get("analogies", {}).items():
        console.print(f"analogies, {name}: {100 * (part['accuracy'] or 0):.2f}%", highlight=False)
    show_model(
        folder,
        "from hf_contrastive.models import WordVectors  # or sentence_transformers.SentenceTransformer",
        f'vectors = WordVectors.from_model_folder("{folder}")  # SentenceTransformer("{folder}")',
        'vectors.most_similar("word")',
    )
