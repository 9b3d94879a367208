"""Whole runs of word vectors: they learn, leave a folder that others load, stop and go on, and are refused in time."""

import json
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from resuming import assert_killed_and_resumed_is_the_same, assert_stopped_and_resumed_is_the_same
from runs import assert_generator_learned_and_is_not_published, final_weights, log_of, run_recipe
from word_models import make
from word_runs import TOPICS, WORDS, make_word_run

from hf_contrastive.arguments import WITHOUT_NEGATIVES
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.models import WordVectors
from hf_contrastive.models.word_embedding import WordEmbeddingModel
from hf_contrastive.negatives import Filtered, UnigramNegatives
from hf_contrastive.training.table_trainer import TableTrainer
from hf_contrastive.training.words import ContrastiveWordModel, WordTrainer

UNIGRAM = {"name": "unigram", "k": 16, "stands_for": 4}
ACE = {"name": "adversarial", "k": 4, "update_every": 2}
REINFORCE = {"name": "adversarial", "estimator": "reinforce", "k": 3, "off_policy": True}
MIXTURE = {"name": "mixture", "lambda": 0.5, "parts": [UNIGRAM, ACE]}


def spearman(results: dict[str, Any]) -> float:
    return results["after"]["similarity"]["scores"]["pairs"]["spearman"]


KINDS: list[dict[str, Any]] = [
    {},
    {"architecture": "cbow"},
    {"objective": "softmax"},
    {"objective": "softmax", "architecture": "cbow"},
    {"objective": "hierarchical_softmax"},
    {"objective": "hierarchical_softmax", "architecture": "cbow"},
    {"objective": "nce", "negatives": {"name": "unigram", "k": 64}},
    {"objective": "sampled_softmax", "negatives": {"name": "unigram", "k": 32}},
    {"negatives": {"name": "unigram", "k": 4, "shared": False}, "negatives_per_pair": True},
    {"negatives": {"name": "unigram", "k": 8, "shared": False, "stands_for": 4}, "words_per_draw": 32},
    {"known_cooccurrences": 20},
    {"negatives": {"name": "self_adversarial", "part": UNIGRAM, "alpha": 1.0}},
    {"negatives": MIXTURE},
    {"negatives": {**ACE, "part": {"name": "unigram", "k": 32}, "noise": 0.6}, "negatives_per_pair": True},
    {"negatives": [UNIGRAM, {"name": "cached", "k": 2}], "gradient_accumulation_steps": 2},
]


@pytest.mark.parametrize("options", KINDS, ids=lambda options: str(options)[:70])
def test_every_kind_of_run_learns_and_leaves_a_folder(tmp_path: Path, options: dict[str, Any]) -> None:
    run = make_word_run(tmp_path / "run", **options)
    results = run_recipe(run)
    log = log_of(run)
    losses = [entry["loss_of_a_pair"] for entry in log]
    # An adversary that is learned raises the loss as it gets better; that similar words end near each other is below.
    share = 1.1 if "adversarial" in str(options) else 0.9
    assert all(map(math.isfinite, losses)) and sum(losses[-2:]) < share * sum(losses[:2])
    assert {"words", "pairs", "words_per_second", "train_seconds", "learning_rate"} <= log[0].keys()
    assert ("negatives" in log[0]) == (options.get("objective") not in WITHOUT_NEGATIVES) and log[0]["pairs"] > 100
    assert spearman(results) > 0.5
    assert results["steps"] == 24 and results["vocabulary"] == len(WORDS) and results["words"] > 0
    assert [entry["step"] for entry in results["curve"]] == [8, 16, 24]
    written = json.loads((run / "out/results.json").read_text())
    assert written["after"] == json.loads(json.dumps(results["after"]))
    tables = final_weights(run)
    rows = len(WORDS) - (options.get("objective") == "hierarchical_softmax")
    assert {name: tuple(table.shape) for name, table in tables.items()} == {
        "input_embeddings": (len(WORDS), 8),
        "output_embeddings": (rows, 8),
    }
    model = WordEmbeddingModel.from_pretrained(run / "out/final")
    assert all(torch.equal(tables[name], value) for name, value in model.state_dict().items())
    assert not {p.suffix for p in (run / "out/final").rglob("*") if p.is_file()} & {".bin", ".pt", ".pth", ".pkl"}


@pytest.mark.parametrize("objective", ["nce", "sampled_softmax"])
def test_an_objective_alone_is_enough(tmp_path: Path, objective: str) -> None:
    run = make_word_run(tmp_path / "run", objective=objective, negatives=None, max_steps=2, eval_strategy="no")
    assert run_recipe(run)["steps"] == 2


def test_the_folder_gives_the_same_vectors_to_everyone(tmp_path: Path) -> None:
    run = make_word_run(tmp_path / "run", negatives=MIXTURE)
    run_recipe(run)
    folder = run / "out/final"
    vectors = WordVectors.from_model_folder(folder)
    assert sorted(vectors.words) == sorted(WORDS)
    assert vectors.counts is not None and (np.diff(vectors.counts) <= 0).all()
    text = (run / "corpus.txt").read_text().split()
    assert vectors.counts.tolist() == [text.count(word) for word in vectors.words]
    model = WordEmbeddingModel.from_pretrained(folder)
    with torch.no_grad():
        assert (model(torch.arange(len(WORDS))).numpy() == vectors.vectors).all()
    for word in (topic[0] for topic in TOPICS):  # of the five nearest, most are of its topic
        topic = next(topic for topic in TOPICS if word in topic)
        assert sum(other in topic for other, _ in vectors.most_similar(word, k=5)) >= 3
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(encoder.encode(vectors.words), vectors.vectors, rtol=1e-6, atol=1e-7)
    several = encoder.encode(f"{WORDS[0]} nonsense {WORDS[7].upper()}")
    np.testing.assert_allclose(several, (vectors[WORDS[0]] + vectors[WORDS[7]]) / 2, rtol=1e-5, atol=1e-6)


def test_the_generator_learns_and_stays_out_of_what_is_published(tmp_path: Path) -> None:
    run = make_word_run(tmp_path / "run", negatives=MIXTURE)
    run_recipe(run)
    assert_generator_learned_and_is_not_published(run)
    assert set(final_weights(run)) == {"input_embeddings", "output_embeddings"}


# --- stopped and resumed ---


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"negatives": {"name": "mixture", "lambda": 0.3, "parts": [UNIGRAM, REINFORCE]}},
        {"negatives": [MIXTURE, {"name": "cached", "k": 2}], "gradient_accumulation_steps": 2},
        {"objective": "hierarchical_softmax", "architecture": "cbow", "lr_scheduler_type": "cosine"},
        {"objective": "softmax", "max_steps": 60},  # more than an epoch
    ],
    ids=lambda options: str(options)[:60],
)
def test_stopped_and_resumed_ends_with_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    assert_stopped_and_resumed_is_the_same(make_word_run, tmp_path, **options)


def test_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    assert_killed_and_resumed_is_the_same(make_word_run, tmp_path, negatives=MIXTURE)


def test_a_finished_run_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_word_run(tmp_path / "run")
    first = run_recipe(run)
    monkeypatch.setattr(WordTrainer, "training_step", lambda *_: pytest.fail("trained"))
    again = run_recipe(run)
    assert again["after"] == first["after"] and again["steps"] == first["steps"]
    assert again["words"] == first["words"]
    with pytest.raises(RecipeError, match="holds a run of another recipe, which differs in window"):
        run_recipe(run, "--window", "2")


def test_accumulated_batches_are_one_batch(tmp_path: Path) -> None:
    options = {"objective": "softmax", "subsample": 0.0, "dynamic_window": False}
    one = make_word_run(tmp_path / "one", **options)
    two = make_word_run(tmp_path / "two", per_device_train_batch_size=2, gradient_accumulation_steps=2, **options)
    run_recipe(one), run_recipe(two)
    for name, table in final_weights(one).items():
        torch.testing.assert_close(final_weights(two)[name], table, rtol=1e-4, atol=1e-5)


def test_a_recipe_says_what_counts_as_a_negative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ContrastiveWordModel] = []
    init = WordTrainer.__init__
    monkeypatch.setattr(
        WordTrainer,
        "__init__",
        lambda self, model, *args, **kwargs: made.append(model) or init(self, model, *args, **kwargs),
    )
    for number, options in enumerate(({}, {"mask_positives": False, "known_cooccurrences": 30, "window": 2})):
        run_recipe(make_word_run(tmp_path / str(number), max_steps=1, subsample=0.0, **options))
    plain, told = made
    assert plain.mask_positives and isinstance(plain.negatives, UnigramNegatives) and plain.window == 3
    assert not told.mask_positives and isinstance(told.negatives, Filtered) and told.window == 2
    text = [line.split() for line in (tmp_path / "1/corpus.txt").read_text().splitlines()]
    seen = Counter((a, b) for words in text for i, a in enumerate(words) for b in words[max(0, i - 2) : i])
    both = {pair for a, b in seen for pair in ((a, b), (b, a)) if seen[a, b] + seen[b, a] >= 30}
    words = WordVectors.from_model_folder(tmp_path / "1/out/final").words
    ids = torch.arange(len(words))
    found = told.negatives.known.contain(ids, ids.unsqueeze(0))
    assert {(words[i], words[j]) for i, j in found.nonzero().tolist()} == both != set()


# --- refused in time ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windw": 3}, r"recipe.yaml, line \d+: unknown key 'windw'; did you mean 'window'"),
        ({"pooler": "cls"}, r"recipe.yaml, line \d+: unknown key 'pooler'"),
        ({"dimension": "wide"}, r"recipe.yaml, line \d+: dimension: 'wide' does not fit; must be of type int"),
        ({"dimension": 0}, "dimension: must be positive, got 0"),
        ({"window": 0}, "window: must be positive, got 0"),
        ({"chunk_words": 0}, "chunk_words: must be positive, got 0"),
        ({"subsample": -1}, "subsample: must not be negative"),
        ({"objective": "infonce"}, "unknown objective 'infonce'; choose one of softmax, hierarchical_softmax"),
        ({"architecture": "glove"}, "unknown architecture 'glove'; choose one of skip_gram, cbow"),
        ({"row_rule": "sgd"}, "unknown row_rule 'sgd'; choose one of rmsprop, adagrad"),
        ({"row_decay": 1.0}, r"row_decay: must be in \[0, 1\), got 1.0"),
        ({"row_epsilon": 0.0}, "row_epsilon: must be greater than 0, got 0.0"),
        ({"oov": "guess"}, "unknown oov 'guess'; choose one of skip, zero"),
        ({"max_grad_norm": 1.0}, "max_grad_norm: sparse gradients of tables are not clipped; leave it at 0"),
        ({"negatives": "in_batch"}, "negatives: words have no positives; use unigram, uniform or adversarial"),
        ({"negatives": [UNIGRAM, "hard"]}, "negatives: words have no hard; use unigram"),
        ({"negatives": {"name": "unigram", "stands_for": 0}}, "stands_for must be greater than 0"),
        ({"objective": "nce"}, "negatives: stands_for gives .* leave stands_for out"),
        ({"negatives": {"name": "filtered", "part": UNIGRAM, "known": "p.tsv"}}, "only sentences have files of known"),
        ({"words_per_draw": 24}, "words_per_draw: must be a multiple of 16, got 24"),
        ({"words_per_draw": 16, "negatives_per_pair": True}, "share draws leave no room for negatives_per_pair"),
        ({"words_per_draw": 16, "known_cooccurrences": 2}, "share draws leave no room for known_cooccurrences"),
        ({"words_per_draw": 16, "negatives": UNIGRAM}, "use unigram or uniform, shared: false"),
        ({"words_per_draw": 16, "negatives": ACE}, "words_per_draw: needs draws that look at no vectors"),
        ({"negatives": "unigrm"}, "unknown sampler 'unigrm'; did you mean 'unigram'"),
        ({"objective": "nce", "negatives": ACE}, "objective: nce needs negatives drawn with a known probability"),
        ({"objective": "sampled_softmax", "negatives": "queue"}, "sampled_softmax needs negatives drawn with a known"),
        ({"architecture": "cbow", "known_cooccurrences": 1}, "known_cooccurrences: cbow's anchors are contexts"),
        ({"train_data": "nowhere.txt"}, "nowhere.txt"),
        ({"similarity_data": "nowhere"}, "nowhere: no such file or folder"),
        ({"analogy_data": "nowhere.txt"}, "analogy_data: nowhere.txt: no such file; name questions-words.txt"),
    ],
    ids=lambda given: str(given)[:60] if isinstance(given, dict) else "",
)
def test_what_does_not_fit_is_refused_before_training(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    run = make_word_run(tmp_path / "run", **options)
    with pytest.raises((RecipeError, DataError), match=message):
        run_recipe(run)
    assert not list((run / "out").glob("checkpoint-*"))


def test_evaluation_without_anything_to_evaluate_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_CONTRASTIVE_DATA", raising=False)
    run = make_word_run(tmp_path / "run", similarity_data=None)
    with pytest.raises(RecipeError, match="similarity_data: none to evaluate with; set HF_CONTRASTIVE_DATA or name"):
        run_recipe(run)
    results = run_recipe(run, "--eval_strategy", "no")
    assert results["steps"] == 24 and results["after"] == {}


@pytest.mark.parametrize("given", [{"fsdp": "full_shard"}, {"deepspeed": "zero.json"}], ids=str)
def test_tables_are_not_sharded(given: dict[str, str]) -> None:
    args = SimpleNamespace(**{"fsdp": None, "deepspeed": None, **given})
    with pytest.raises(RecipeError, match="tables are trained on every rank as a whole; leave fsdp and deepspeed out"):
        TableTrainer(make("softmax"), args)
