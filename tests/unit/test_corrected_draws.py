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


MIXTURE: dict[str, Any] = {"name": "mixture", "parts": [UNIFORM, {"name": "uniform", "k": 2}], "lambda": 0.5}
ONLY_ONE: list[dict[str, Any]] = [{**MIXTURE, "lambda": share} for share in (0, 1, {"start": 1, "end": 1})]


@pytest.mark.parametrize("check", [for_graphs, for_sentences])
@pytest.mark.parametrize("objective", ["nce", "sampled_softmax"])
@pytest.mark.parametrize("second", ["uniform", "queue", "cached", "adversarial", MIXTURE], ids=str)
def test_lists_whose_parts_propose_the_same_rows_are_refused(check: Any, objective: str, second: Any) -> None:
    message = rf"two samplers of a list propose rows of one region \(bank\), which objective {objective} would count"
    with pytest.raises(RecipeError, match=message):
        check([UNIFORM, second], objective)
    check([UNIFORM, second], "negative_sampling")


def test_lists_whose_parts_propose_different_rows_are_corrected() -> None:
    for objective in ("nce", "sampled_softmax"):
        for_sentences(["in_batch", UNIFORM, "hard"], objective)


def test_mixtures_are_for_sampled_softmax() -> None:
    for check in (for_graphs, for_sentences):
        check(MIXTURE, "sampled_softmax")
        for lambda_ in (0.5, {"start": 1, "end": 0.5, "begin": 5}):
            with pytest.raises(RecipeError, match="negatives: objective nce cannot correct the draws of a mixture"):
                check({**MIXTURE, "lambda": lambda_}, "nce")
        for only_one in ONLY_ONE:
            check(only_one, "nce")


@pytest.mark.parametrize("objective", ["negative_sampling", "nce", "sampled_softmax"])
def test_words_have_a_default_that_suits_the_objective(objective: str) -> None:
    sampler = table_sampler(
        WordNegativesArguments().for_objective(objective), "words", OBJECTIVES[objective](1.0), objective, 4, 0, True
    )
    assert sampler.k == 128 and sampler.stands_for == (5 if objective == "negative_sampling" else None)
    named = WordNegativesArguments(negatives="uniform")
    assert named.for_objective(objective) is named
