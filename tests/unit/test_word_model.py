"""A step of the word model under every estimator: loss and gradients by hand, what it is made of, what it draws."""

from typing import Any

import pytest
import torch
from queries import assert_draws_follow_from_seed_and_step
from word_loops import Anchor, Step, against_proposals, anchors_of, full_softmax, hierarchical_softmax, one_a_pair
from word_models import ACE, LENGTHS, NEGATIVES, UNIGRAM, WINDOW, V, dense, make, proposals, text

from hf_contrastive.negatives import Filtered, KnownPairs, build_sampler
from hf_contrastive.training.model import ContrastiveOutput
from hf_contrastive.training.words import ContrastiveWordModel

BOTH = pytest.mark.parametrize("architecture", ["skip_gram", "cbow"])


def assert_equal(
    model: ContrastiveWordModel, output: ContrastiveOutput, step: Step, own: float = 0.0, tolerance: float = 1e-10
) -> None:
    output.loss.backward()
    assert output.metrics["words"] == sum(LENGTHS) and output.metrics["pairs"] == step.pairs > 20
    assert output.loss.item() == pytest.approx(step.loss + own, rel=tolerance)
    assert output.metrics["loss_of_a_pair"].item() == pytest.approx(step.loss / step.pairs, rel=tolerance)
    for table, gradient in zip(model.tables, step.gradients, strict=True):
        torch.testing.assert_close(dense(table), gradient, rtol=tolerance, atol=tolerance)


@BOTH
@pytest.mark.parametrize("case", NEGATIVES)
def test_loss_and_gradients_are_those_of_a_loop_over_pairs(case: str, architecture: str) -> None:
    objective, config, options = NEGATIVES[case]
    model = make(objective, config, architecture, **options)
    proposed, losses = proposals(model.negatives)
    ids, sentences = text()
    output = model(ids, sentences)
    anchors = anchors_of(ids.tolist(), sentences.tolist(), WINDOW, architecture == "cbow")
    anchors = one_a_pair(anchors) if model.negatives_per_pair else anchors
    if model.words_per_draw:
        proposed[0].ids = proposed[0].ids.repeat_interleave(model.words_per_draw, 0)
    step, plain = Step(model), {key: value for key, value in config.items() if key != "off_policy"}
    against_proposals(step, anchors, objective, _noise_of(plain), model.negatives, proposed[0])
    assert len(proposed) == 1 and bool(losses) == bool(model.negatives.learned())
    # Samplers say probabilities and weights in float32.
    assert_equal(model, output, step, sum(loss.item() for loss in losses), tolerance=1e-5)


def _noise_of(config: dict[str, Any]) -> dict[str, Any]:
    """The power of the noise where the loop looks for it."""
    power = 0.0 if config["name"] == "uniform" else config.get("part", config).get("power", 0.75)
    return {**config, "power": power}


@BOTH
def test_full_softmax_is_a_loop_over_the_vocabulary(architecture: str) -> None:
    model, (ids, sentences) = make("softmax", None, architecture), text()
    step = Step(model)
    full_softmax(step, anchors_of(ids.tolist(), sentences.tolist(), WINDOW, architecture == "cbow"))
    assert_equal(model, model(ids, sentences), step)


@BOTH
def test_hierarchical_softmax_is_a_loop_over_the_ways(architecture: str) -> None:
    model, (ids, sentences) = make("hierarchical_softmax", None, architecture), text()
    anchors = anchors_of(ids.tolist(), sentences.tolist(), WINDOW, architecture == "cbow")
    if architecture == "skip_gram":  # a word is predicted from each neighbour, as word2vec.c has it
        around = anchors_of(ids.tolist(), sentences.tolist(), WINDOW)
        anchors = [
            Anchor([(word, 1.0)], [int(center)])
            for center, anchor in zip(ids, around, strict=True)
            for word in anchor.targets
        ]
    step = Step(model)
    hierarchical_softmax(step, anchors, model.objective.nodes, model.objective.turns)
    assert_equal(model, model(ids, sentences), step)


def test_known_pairs_are_looked_up_by_the_anchors_word() -> None:
    known = KnownPairs(torch.tensor([0, 0, 4, 9]), torch.tensor([2, 8, 4, 1]))
    ids, sentences = text()
    anchors = anchors_of(ids.tolist(), sentences.tolist(), WINDOW)
    every = [(int(word), anchor.targets) for word, anchor in zip(ids, anchors, strict=True)]
    for each_pair, rows in ((False, every), (True, [(word, [t]) for word, targets in every for t in targets])):
        sampler = Filtered(build_sampler({**UNIGRAM, "k": 40}), known)
        model = make("negative_sampling", sampler, negatives_per_pair=each_pair)
        proposed, _ = proposals(model.negatives)
        model(ids, sentences)
        drawn, hidden = proposed[0].ids.tolist(), {0: [2, 8], 4: [4], 9: [1]}
        for (word, targets), mask in zip(rows, proposed[0].mask.tolist(), strict=False):  # behind the text: padding
            assert mask == [row not in targets and row not in hidden.get(word, []) for row in drawn]


def test_a_guide_compares_scores_with_the_least_positives() -> None:
    ids, sentences = text()
    for each_pair in (False, True):
        sampler = Filtered(build_sampler({**UNIGRAM, "k": 40}), guide_margin=0.5)
        model = make("negative_sampling", sampler, negatives_per_pair=each_pair)
        proposed, _ = proposals(model.negatives)
        model(ids, sentences)
        step, drawn = Step(model), proposed[0].ids.tolist()
        anchors = anchors_of(ids.tolist(), sentences.tolist(), WINDOW)
        anchors = one_a_pair(anchors) if each_pair else anchors
        assert not proposed[0].mask.all() and proposed[0].mask.any()
        for anchor, mask in zip(anchors, proposed[0].mask.tolist(), strict=False):  # behind the text: padding
            scores = step.output @ step.vector(anchor)
            least = min((scores[target] for target in anchor.targets), default=torch.inf)
            assert mask == [row not in anchor.targets and bool(scores[row] <= least - 0.5) for row in drawn]


# --- what a batch is made of ---


def test_a_loss_is_a_sum_over_pairs() -> None:
    """Of two texts it is the sum of both losses, whatever their lengths."""
    ids, sentences = text()
    parts = [make("softmax")(ids[part], sentences[part]).loss for part in (slice(10), slice(10, None))]
    assert make("softmax")(ids, sentences).loss.item() == pytest.approx(sum(parts).item(), rel=1e-12)


def test_words_that_are_thinned_out_leave_no_gap() -> None:
    model, (ids, sentences) = make("softmax"), text()
    frequent = [2, 5]
    model.keep[frequent] = 0.0
    kept = torch.tensor([word not in frequent for word in ids.tolist()])
    output = model(ids, sentences)
    assert 0 < output.metrics["words"] == kept.sum() < len(ids)
    assert output.loss.item() == pytest.approx(make("softmax")(ids[kept], sentences[kept]).loss.item(), rel=1e-12)


@BOTH
@pytest.mark.parametrize("case", ["softmax", "hierarchical_softmax", *NEGATIVES])
def test_a_batch_without_pairs_teaches_nothing(case: str, architecture: str) -> None:
    objective, config, options = NEGATIVES.get(case, (case, None, {}))
    for words in (0, 1, 3):  # each in a sentence of its own
        model = make(objective, config, architecture, **options)
        _, losses = proposals(model.negatives) if model.negatives is not None else ([], [])
        output = model(torch.arange(words), torch.arange(words))
        output.loss.backward()
        assert output.metrics["pairs"] == 0
        assert output.loss.item() == pytest.approx(sum(loss.item() for loss in losses), rel=1e-6)
        assert all(dense(table).abs().max() == 0 for table in model.tables)
        assert all(dense(parameter).isfinite().all() for parameter in model.parameters())


def test_gradients_of_tables_are_sparse_and_hold_what_was_looked_up() -> None:
    model, (ids, sentences) = make("negative_sampling", {**UNIGRAM, "k": 2}), text()
    proposed, _ = proposals(model.negatives)
    model(ids[:6], sentences[:6]).loss.backward()
    touched = [set(table.grad.coalesce().indices()[0].tolist()) for table in model.tables]
    padding = {0}  # behind the end of the text
    assert touched[0] == set(ids[:6].tolist()) | padding
    assert touched[1] == set(ids[:6].tolist()) | set(proposed[0].ids.tolist()) | padding
    assert all(table.grad.is_sparse for table in model.tables) and max(map(len, touched)) < V


def test_draws_follow_from_seed_and_step_and_differ_within_a_step() -> None:
    def made(seed: int) -> ContrastiveWordModel:
        return make("negative_sampling", UNIGRAM, seed=seed, dynamic_window=True, subsample=0.05)

    assert_draws_follow_from_seed_and_step(made, lambda model: model(*text()))


def test_only_tables_and_learned_samplers_are_kept_in_a_checkpoint() -> None:
    assert set(make("nce", UNIGRAM).state_dict()) == {"words.input_embeddings", "words.output_embeddings"}
    assert set(make("hierarchical_softmax").state_dict()) == {"words.input_embeddings", "words.output_embeddings"}
    learned = set(make("negative_sampling", ACE).state_dict()) - set(make("softmax").state_dict())
    assert learned == {f"negatives.generator.{name}_projection" for name in ("anchor", "candidate")}
