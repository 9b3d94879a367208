"""A folder in which everything that the pages name is at hand: tiny models, files, data under the same names."""

import gzip
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import WORDS, tiny_bert, tiny_tokenizer
from huggingface_hub import constants
from runs import sentence

from hf_contrastive import SentenceEncoder
from hf_contrastive.data import Vocabulary, load_knowledge_graph
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel, OrderEmbeddingConfig, OrderEmbeddingModel
from hf_contrastive.models.word_embedding import WordEmbeddingConfig, WordEmbeddingModel
from hf_contrastive.tasks.graphs import save_graph
from hf_contrastive.tasks.words import save_words, word_vectors

ENCODERS = (
    "bert-base-uncased MODEL runs/unsup-bert-base/final runs/first/final runs/unsup/final runs/sup runs/mine/final "
    "you/mine you/mine-adapter"
).split()
STS = "STS12 STS13 STS14 STS15 STS16 STSB-dev STSB-test SICKR-test".split()


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, to be copied: what a page's blocks write is that page's own."""
    folder = tmp_path_factory.mktemp("stand_ins")
    rng = random.Random(0)
    write_encoders(folder)
    write_texts(folder, rng)
    write_words(folder / "runs/skip-gram/final")
    write_graphs(folder)
    for data in ("data", "FOLDER"):
        write_data(folder / data, rng)
    return folder


@pytest.fixture
def workspace(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, and the shell in it."""
    folder = tmp_path / "workspace"
    shutil.copytree(stand_ins, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(folder / "data"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # a name without a stand-in fails at once
    return folder


def write_encoders(folder: Path) -> None:
    """Wide enough for a whitening of 256 dimensions."""
    torch.manual_seed(0)
    backbone = tiny_bert(hidden_size=288, num_hidden_layers=2)
    first = folder / ENCODERS[0]
    SentenceEncoder(backbone, tiny_tokenizer()).save_pretrained(first)
    for name in ENCODERS[1:]:
        shutil.copytree(first, folder / name)


def write_texts(folder: Path, rng: random.Random) -> None:
    """Sentences, pairs, questions."""
    lines = "".join(f"{sentence(rng)}\n" for _ in range(400))
    for name in ("corpus.txt", "sentences.txt", "questions.txt"):
        (folder / name).write_text(lines if name != "questions.txt" else lines[:200], encoding="utf-8")
    (folder / "sentences.txt.gz").write_bytes(gzip.compress(lines.encode()))
    rows = "".join(f"{sentence(rng)}\t{sentence(rng)}\n" for _ in range(60))
    (folder / "pairs.tsv").write_text(f"anchor\tpositive\n{rows}", encoding="utf-8")


def write_words(folder: Path) -> None:
    """Vectors of words."""
    words = ["king", "music", *(word for word in WORDS if word.isalpha() and word not in ("king", "music"))]
    torch.manual_seed(0)
    model = WordEmbeddingModel(WordEmbeddingConfig(len(words), 5))
    torch.nn.init.normal_(model.input_embeddings)
    vocabulary = Vocabulary(words, np.arange(len(words), 0, -1), 100)
    save_words(folder, model, vocabulary, word_vectors(model, vocabulary))


def write_graphs(folder: Path) -> None:
    """A knowledge graph model and an order embedding, with the names that the pages ask for."""
    (folder / "graph").mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"graph/{split}.txt").write_text("NAME\tNAME\tother\nother\tNAME\tthird\n", encoding="utf-8")
    graph = load_knowledge_graph(folder / "graph")
    model = KnowledgeGraphModel(KnowledgeGraphConfig(len(graph.entities), 1, "distmult", 4))
    save_graph(folder / "runs/fb15k237-distmult/final", model, graph)
    concepts = folder / "runs/wordnet/final"
    OrderEmbeddingModel(OrderEmbeddingConfig(2, 4)).save_pretrained(concepts)
    (concepts / "concepts.txt").write_text("dog.n.01\nanimal.n.01\n", encoding="utf-8")


def write_data(folder: Path, rng: random.Random) -> None:
    """What HF_CONTRASTIVE_DATA holds, and in the folder itself a retrieval task in BEIR's layout."""
    (folder / "sts").mkdir(parents=True)
    for name in STS:
        rows = [f"s{i % 2}\t{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}\n" for i in range(40)]
        header = "subset\tscore\tsentence1\tsentence2\n"
        (folder / "sts" / f"{name}.tsv").write_text(header + "".join(rows), encoding="utf-8")
    (folder / "wordsim").mkdir()
    pairs = "".join(f"{rng.choice(WORDS)}\t{rng.choice(WORDS)}\t{rng.random():.2f}\n" for _ in range(30))
    (folder / "wordsim" / "EN-WS-353-ALL.txt").write_text(pairs, encoding="utf-8")
    for kind, count in (("corpus", 20), ("queries", 5)):
        records = [{"_id": f"{kind[0]}{row}", "title": "", "text": sentence(rng)} for row in range(count)]
        (folder / f"{kind}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    (folder / "qrels").mkdir()
    grades = "".join(f"q{row}\tc{row}\t1\n" for row in range(5))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{grades}", encoding="utf-8")
