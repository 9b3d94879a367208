"""From arguments to the words that are trained, and whether sampler and objective fit each other."""

import logging

import torch

from hf_contrastive.arguments import (
    WITHOUT_NEGATIVES,
    WordDataArguments,
    WordModelArguments,
    WordNegativesArguments,
    WordTrainingArguments,
)
from hf_contrastive.data import WordCorpus, known_cooccurrences
from hf_contrastive.errors import RecipeError
from hf_contrastive.models.word_embedding import WordEmbeddingConfig, WordEmbeddingModel
from hf_contrastive.negatives import Filtered, NegativeSampler
from hf_contrastive.objectives import OBJECTIVES, FullSoftmax, HierarchicalSoftmax, Objective
from hf_contrastive.training.table_sampler import table_sampler
from hf_contrastive.training.words.model import ContrastiveWordModel

logger = logging.getLogger(__name__)


def contrastive_word_model(
    corpus: WordCorpus,
    model: WordModelArguments,
    data: WordDataArguments,
    negatives: WordNegativesArguments,
    args: WordTrainingArguments,
) -> ContrastiveWordModel:
    """Tables for a corpus, wrapped as the arguments say; initial values follow from `args.seed`.

    Raises:
        RecipeError: sampler and objective do not fit each other or the task.
    """
    sampler = None
    if args.objective not in WITHOUT_NEGATIVES:
        sampler = make_word_negatives(corpus, model, data, negatives, args)
    else:
        logger.info("objective: %s draws no negatives; what the recipe says of them is not used", args.objective)
    counts = torch.from_numpy(corpus.vocabulary.counts)
    size = len(corpus.vocabulary)
    config = WordEmbeddingConfig(
        vocabulary_size=size,
        dimension=model.dimension,
        architecture=model.architecture,
        output_rows=size - 1 if args.objective == "hierarchical_softmax" else size,
        tokenizer=data.tokenizer,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        words = WordEmbeddingModel(config)
    return ContrastiveWordModel(
        words,
        _objective(args.objective, counts),
        sampler,
        counts,
        window=data.window,
        dynamic_window=data.dynamic_window,
        subsample=data.subsample,
        negatives_per_pair=negatives.negatives_per_pair,
        words_per_draw=negatives.words_per_draw,
        mask_positives=negatives.mask_positives,
        seed=args.seed,
    )


def make_word_negatives(
    corpus: WordCorpus,
    model: WordModelArguments,
    data: WordDataArguments,
    negatives: WordNegativesArguments,
    args: WordTrainingArguments,
) -> NegativeSampler:
    """The sampler a recipe means, checked against the objective, with known co-occurrences filtered out."""
    objective, name = OBJECTIVES[args.objective](1.0), args.objective
    negatives = negatives.for_objective(name)
    sampler = table_sampler(negatives, "words", objective, name, model.dimension, args.seed, negatives.mask_positives)
    if negatives.words_per_draw and (sampler.reads_vectors or getattr(sampler, "shared", True)):
        raise RecipeError("words_per_draw: needs draws that look at no vectors; use unigram or uniform, shared: false")
    if negatives.known_cooccurrences > 0:
        if model.architecture == "cbow":
            raise RecipeError("known_cooccurrences: cbow's anchors are contexts, not words; leave it out")
        known = known_cooccurrences(corpus, data.window, negatives.known_cooccurrences)
        sampler = Filtered(sampler, known=known)
    return sampler


def _objective(name: str, counts: torch.Tensor) -> Objective | FullSoftmax | HierarchicalSoftmax:
    if name == "softmax":
        return FullSoftmax()
    if name == "hierarchical_softmax":
        return HierarchicalSoftmax(counts)
    return OBJECTIVES[name](1.0)  # word2vec's scores are plain inner products
