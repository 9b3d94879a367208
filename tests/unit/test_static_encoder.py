"""Averaged static vectors are measured like any encoder, with the vectors that sentence-transformers gives them."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import WORDS
from runs import sentence

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.evaluation.mteb_tasks import mteb_revision
from hf_contrastive.look import look
from hf_contrastive.models import write_static_embedding
from hf_contrastive.models.loading import load_for_measuring
from hf_contrastive.training.measure import evaluate_model


def write(folder: Path, **options) -> str:
    words = [word for word in WORDS if word.isascii() and word.isalpha()]
    vectors = np.random.default_rng(0).normal(size=(len(words), 6)).astype(np.float32)
    write_static_embedding(folder, words, vectors, **options)
    return str(folder)


@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"subfolder": "0_StaticEmbedding"}])
def test_vectors_are_sentence_transformers_own(tmp_path: Path, options: dict) -> None:
    from sentence_transformers import SentenceTransformer

    folder = write(tmp_path / "model", **options)
    rng = random.Random(0)
    texts = [*(sentence(rng) for _ in range(20)), "xylophone", ""]
    encoder = load_for_measuring(folder)
    vectors = encoder.encode(texts, batch_size=7)
    theirs = torch.tensor(SentenceTransformer(folder, device="cpu").encode(texts))
    torch.testing.assert_close(vectors, theirs, rtol=0, atol=1e-6)
    assert not vectors[-2:].any() and encoder.encode([]).shape == (0, 6)
    assert mteb_revision(encoder) == mteb_revision(load_for_measuring(folder))


def test_evaluate_and_look_measure_them(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows = "".join(f"{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}\n" for _ in range(30))
    for name in ("STSB-test", "STSB-dev"):
        (tmp_path / f"{name}.tsv").write_text("score\tsentence1\tsentence2\n" + rows)
    folder = write(tmp_path / "model")
    (tmp_path / "beir/qrels").mkdir(parents=True)
    for name, count in (("corpus", 9), ("queries", 2)):
        texts = [json.dumps({"_id": str(n), "text": sentence(rng)}) + "\n" for n in range(count)]
        (tmp_path / f"beir/{name}.jsonl").write_text("".join(texts))
    (tmp_path / "beir/qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n0\t3\t1\n1\t4\t1\n")
    results = evaluate_model(folder, tasks=["retrieval"], retrieval_data=str(tmp_path / "beir"))
    assert results.name == f"{folder} (avg)" and results.retrieval.scores["beir"].recall["10"] == 1
    (figures,) = look([folder], tmp_path / "look", pairs=str(tmp_path / "STSB-dev.tsv"))
    assert figures.dimension == 6


def test_what_static_vectors_cannot_be_given(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    for option in ({"pooler": "cls"}, {"max_length": 9}):
        with pytest.raises(RecipeError, match="static vectors"):
            load_for_measuring(folder, **option)
    listing = json.loads((tmp_path / "model/modules.json").read_text())
    (tmp_path / "model/modules.json").write_text(json.dumps([*listing, {"type": "a.Dense", "path": "1_Dense"}]))
    with pytest.raises(CheckpointError, match="Dense behind StaticEmbedding"):
        load_for_measuring(folder)
    (tmp_path / "model/modules.json").write_text(json.dumps(listing))
    (tmp_path / "model/tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="no tokenizer.json"):
        load_for_measuring(folder)
