"""Draws whose weight an objective makes of their probability: what would spoil it is refused."""

from typing import Any

import pytest

from hf_contrastive.arguments import GraphNegativesArguments, NegativesArguments, WordNegativesArguments
from hf_contrastive.errors import RecipeError
from hf_contrastive.objectives import OBJECTIVES
from hf_contrastive.training.build import check_sampler, make_negatives
from hf_contrastive.training.table_sampler import table_sampler

UNIFORM = {"name": "uniform", "k": 8}
STANDS = {**UNIFORM, "stands_for": 2}


def for_graphs(negatives: Any, objective: str) -> None:
    given = GraphNegativesArguments(negatives=negatives)
    table_sampler(given, "graphs", OBJECTIVES[objective](1.0), objective, 4, 0, True)


def for_sentences(negatives: Any, objective: str) -> None:
    check_sampler(make_negatives(negatives, NegativesArguments(), 4, 0), OBJECTIVES[objective](1.0), objective)


@pytest.mark.parametrize("check", [for_graphs, for_sentences])
@pytest.mark.parametrize("objective", ["nce", "sampled_softmax"])
@pytest.mark.parametrize(
    "negatives",
    [STANDS, {"name": "filtered", "part": STANDS, "guide_margin": 0.1}, {"name": "self_adversarial", "part": STANDS}],
    ids=lambda given: given["name"],
)
def test_draws_that_stand_for_others_are_refused(check: Any, objective: str, negatives: Any) -> None:
    with pytest.raises(RecipeError, match=f"negatives: stands_for gives .* {objective} .* leave stands_for out"):
        check(negatives, objective)
    check(negatives, "negative_sampling")
    check(UNIFORM, objective)


@pytest.mark.parametrize("objective", ["negative_sampling", "nce", "sampled_softmax"])
def test_words_have_a_default_that_suits_the_objective(objective: str) -> None:
    sampler = table_sampler(
        WordNegativesArguments().for_objective(objective), "words", OBJECTIVES[objective](1.0), objective, 4, 0, True
    )
    assert sampler.k == 128 and sampler.stands_for == (5 if objective == "negative_sampling" else None)
    named = WordNegativesArguments(negatives="uniform")
    assert named.for_objective(objective) is named
