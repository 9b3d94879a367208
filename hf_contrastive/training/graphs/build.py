"""From arguments to the graph that is trained, and whether sampler and objective fit each other."""

import torch
from torch import Tensor

from hf_contrastive.arguments import GraphModelArguments, GraphNegativesArguments, GraphTrainingArguments
from hf_contrastive.data import KnowledgeGraph, KnownTails, Triples, add_reciprocal
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel
from hf_contrastive.negatives import Filtered, NegativeSampler
from hf_contrastive.objectives import OBJECTIVES, NegativeSampling, Objective, Triplet
from hf_contrastive.training.graphs.model import ContrastiveGraphModel
from hf_contrastive.training.table_sampler import table_sampler


def contrastive_graph_model(
    graph: KnowledgeGraph,
    model: GraphModelArguments,
    negatives: GraphNegativesArguments,
    args: GraphTrainingArguments,
) -> ContrastiveGraphModel:
    """Tables for a graph, wrapped as the arguments say; initial values follow from `args.seed`.

    Raises:
        RecipeError: sampler, objective and model do not fit each other.
    """
    config = KnowledgeGraphConfig(
        num_entities=len(graph.entities),
        num_relations=len(graph.relations),
        interaction=model.interaction,
        dimension=model.dimension,
        norm=model.norm,
        reciprocal=model.reciprocal,
        constrained=model.constrained,
        initial_range=model.initial_range,
    )
    objective = graph_objective(args)
    sampler = None
    if objective is not None:
        sampler = graph_negatives(graph, model, negatives, args, objective)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        tables = KnowledgeGraphModel(config)
    return ContrastiveGraphModel(
        tables,
        objective,
        sampler,
        torch.bincount(torch.cat([graph.train.heads, graph.train.tails]), minlength=len(graph.entities)),
        head_probability(graph.train, len(graph.relations), negatives.corrupted_side),
        regularizer=args.regularizer,
        regularizer_weight=args.regularizer_weight,
        mask_positives=negatives.mask_positives,
        temperature=args.temperature,
        seed=args.seed,
    )


def graph_objective(args: GraphTrainingArguments) -> Objective | None:
    """The objective of that name over plain scores; `None` for softmax over all entities."""
    if args.objective == "softmax":
        return None
    kind = OBJECTIVES[args.objective]
    return kind(1.0, args.margin) if kind is Triplet or kind is NegativeSampling else kind(1.0)


def graph_negatives(
    graph: KnowledgeGraph,
    model: GraphModelArguments,
    negatives: GraphNegativesArguments,
    args: GraphTrainingArguments,
    objective: Objective,
) -> NegativeSampler:
    """The sampler a recipe means, checked against the objective, with what training knows to be true filtered out."""
    sampler = table_sampler(
        negatives, "graphs", objective, args.objective, model.dimension, args.seed, negatives.mask_positives
    )
    if not negatives.filter_known:
        return sampler
    relations = len(graph.relations)
    return Filtered(sampler, known=KnownTails(add_reciprocal(graph.train, relations), 2 * relations))


def head_probability(train: Triples, num_relations: int, rule: str) -> Tensor:
    """Chance [R] that the head is corrupted: 1/2, or tph / (tph + hpt) under `bernoulli` (Wang et al., 2014).

    tph is the mean number of tails of a head, hpt of heads of a tail; what has many partners is corrupted less, since
    it would more often come out true.
    """
    if rule == "uniform":
        return torch.full((num_relations,), 0.5)
    pairs = {}
    for name, ends in (("heads", train.heads), ("tails", train.tails)):
        keys = (ends * num_relations + train.relations).unique()
        pairs[name] = torch.bincount(keys % num_relations, minlength=num_relations).clamp(min=1)
    triples = torch.bincount(train.relations, minlength=num_relations)
    tails_a_head, heads_a_tail = triples / pairs["heads"], triples / pairs["tails"]
    return (tails_a_head / (tails_a_head + heads_a_tail).clamp(min=1e-9)).float()
