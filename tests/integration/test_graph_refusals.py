"""Recipes of graphs and hierarchies that are refused in time."""

from pathlib import Path
from typing import Any

import pytest
from graph_runs import ACE, make_graph_run, make_order_run
from runs import run_recipe, train_alone

from hf_contrastive.errors import DataError, RecipeError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interaction": "transh"}, "unknown interaction 'transh'; choose one of transe, transd, distmult"),
        ({"dimension": 7}, "dimension: must be even, half of it imaginary parts for complex, got 7"),
        ({"interaction": "transe", "dimension": 0}, "dimension: must be positive for transe, got 0"),
        ({"constrained": True}, "constrained: complex has no constraint on lengths; leave it out"),
        ({"norm": 1}, "norm: complex cannot have norm 1; leave it out"),
        ({"negatives": "in_batch"}, "negatives: graphs have no positives; use unigram, uniform or adversarial"),
        ({"negatives": "unifrm"}, "unknown sampler 'unifrm'; did you mean 'uniform'"),
        ({"objective": "sampled_softmax", "negatives": ACE}, "sampled_softmax needs negatives drawn with a known"),
        ({"objective": "infonce", "margin": 2.0}, "margin: infonce has none; leave it at 0"),
        ({"objective": "triplet", "margin": -2.0}, "margin: triplet needs one that is not negative, got -2.0"),
        ({"regularizer_weight": 0.1}, "regularizer_weight: name the regularizer too, l2 or n3"),
        ({"eval_split": "dev"}, "unknown eval_split 'dev'; choose one of valid, test"),
        ({"eval_triples": 0}, "eval_triples: must be positive, got 0"),
        ({"max_grad_norm": 1.0}, "max_grad_norm: sparse gradients of tables are not clipped; leave it at 0"),
        ({"pooler": "cls"}, r"recipe.yaml, line \d+: unknown key 'pooler'"),
        ({"dimensoin": 8}, r"recipe.yaml, line \d+: unknown key 'dimensoin'; did you mean 'dimension'"),
        ({"train_data": "/nowhere/graph"}, "/nowhere/graph: is no folder; name one with train.txt"),
        ({"task": "graphs"}, r"recipe.yaml, line \d+: task: unknown task 'graphs'; choose one of sentences, words"),
    ],
    ids=lambda given: str(given)[:60] if isinstance(given, dict) else "",
)
def test_what_does_not_fit_a_graph_is_refused_before_training(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    run = make_graph_run(tmp_path / "run", **options)
    with pytest.raises((RecipeError, DataError), match=message):
        run_recipe(run)
    assert not list((run / "out").glob("checkpoint-*"))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_split_without_triples_is_refused(tmp_path: Path, split: str) -> None:
    run = make_graph_run(tmp_path / "run")
    (run / f"graph/{split}.txt").unlink()
    with pytest.raises(DataError, match=rf"train_data: \S+/graph has no triples in {split}; add some to measure on"):
        run_recipe(run)
    if split == "valid":  # without which nothing is measured while it trains
        assert run_recipe(run, "--eval_strategy", "no")["steps"] == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimension": 0}, "dimension: must be positive, got 0"),
        ({"margin": -1.0}, "margin: must not be negative, got -1.0"),
        ({"objective": "infonce"}, "unknown objective 'infonce'; choose one of order, triplet"),
        ({"protocol": "published"}, "unknown protocol 'published'; choose one of filtered, path_counted"),
        ({"negatives": ["uniform", "in_batch"]}, "negatives: hierarchies have no positives; use unigram, uniform"),
        ({"corrupted_side": "bernoulli"}, "corrupted_side: pairs of a hierarchy have one relation; leave it at"),
        ({"dev_pairs": 100}, r"102 pairs do not suffice to hold 100 \+ 10 out"),
        ({"dev_pairs": 0}, "dev_pairs: must be at least 1, got 0"),
        ({"train_data": "nowhere.tsv"}, "nowhere.tsv: no such file or folder"),
        ({"interaction": "transe"}, r"recipe.yaml, line \d+: unknown key 'interaction'"),
    ],
    ids=lambda given: str(given)[:60] if isinstance(given, dict) else "",
)
def test_what_does_not_fit_a_hierarchy_is_refused_before_training(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    run = make_order_run(tmp_path / "run", **options)
    with pytest.raises((RecipeError, DataError), match=message):
        run_recipe(run)
    assert not list((run / "out").glob("checkpoint-*"))


def test_what_is_wrong_is_said_without_a_traceback(tmp_path: Path) -> None:
    run = make_graph_run(tmp_path / "run", dimension=7)
    done = train_alone(run, check=False)
    assert done.returncode == 1 and "error: dimension: must be even" in done.stderr and "Traceback" not in done.stderr
