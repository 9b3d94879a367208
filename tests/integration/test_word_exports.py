"""What other libraries make of the files that word vectors are written as."""

from pathlib import Path

import numpy as np
import pytest

from hf_contrastive.models import WordVectors, write_static_embedding

WORDS = [*"the a s dog cat seven runs naïve 日本 e".split(), *(f"{a}{b}" for a in "xyz" for b in "pqrst")]


@pytest.fixture
def vectors() -> WordVectors:
    return WordVectors(WORDS, np.random.default_rng(0).standard_normal((len(WORDS), 8)))


# --- gensim ---


@pytest.mark.parametrize("name", ["v.txt", "v.bin", "v.txt.gz", "v.bin.gz"])
def test_gensim_reads_what_is_written(tmp_path: Path, vectors: WordVectors, name: str) -> None:
    gensim = pytest.importorskip("gensim.models")
    vectors.save_word2vec(tmp_path / name, binary=".bin" in name)
    keyed = gensim.KeyedVectors.load_word2vec_format(tmp_path / name, binary=".bin" in name)
    assert keyed.index_to_key == vectors.words
    assert (keyed.vectors == vectors.vectors).all()
    for word in vectors.words:
        theirs = keyed.most_similar(word, topn=6)
        assert vectors.most_similar(word, k=6) == [
            (other, pytest.approx(cosine, abs=1e-6)) for other, cosine in theirs
        ]
    theirs = keyed.most_similar(positive=["dog", "a"], negative=["the"], topn=4)
    ours = vectors.analogy("the", "dog", "a", k=4)
    assert ours == [(other, pytest.approx(cosine, abs=1e-6)) for other, cosine in theirs]


@pytest.mark.parametrize("binary", [True, False])
def test_what_gensim_writes_is_read(tmp_path: Path, vectors: WordVectors, binary: bool) -> None:
    gensim = pytest.importorskip("gensim.models")
    keyed = gensim.KeyedVectors(8)
    keyed.add_vectors(vectors.words, vectors.vectors)
    keyed.save_word2vec_format(tmp_path / "v", binary=binary)
    again = WordVectors.load_word2vec(tmp_path / "v", binary)
    assert again.words == vectors.words and (again.vectors == vectors.vectors).all()
    keyed.save_word2vec_format(tmp_path / "g", write_header=False)
    again = WordVectors.load_glove(tmp_path / "g")
    assert again.words == vectors.words and (again.vectors == vectors.vectors).all()


# --- sentence-transformers ---

TEXTS = {  # and the words of WORDS in them
    "The dog's 7": "the dog s seven",
    "the the cat": "the the cat",
    "xylophone tea EASEL": "",  # no word, no letter and no piece of an unknown word counts
    "": "",
    " ?! ": "",
    "a dog nobody knows RUNS": "a dog runs",
    "xp-yq, zt!": "xp yq zt",
}


def means(vectors: WordVectors) -> np.ndarray:
    rows = [[vectors[word].astype(np.float64) for word in words.split()] or [np.zeros(8)] for words in TEXTS.values()]
    return np.array([np.mean(row, axis=0) for row in rows])


@pytest.mark.parametrize("subfolder", ["", "0_StaticEmbedding"])
def test_sentence_transformers_takes_the_mean_of_known_words(
    tmp_path: Path, vectors: WordVectors, subfolder: str
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    write_static_embedding(tmp_path, vectors.words, vectors.vectors, subfolder=subfolder)
    model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    np.testing.assert_allclose(model.encode(list(TEXTS)), means(vectors), atol=1e-6)
    assert (model.encode(["", "unknown"]) == 0).all()  # a batch without a token
    words = ["dog", "zt"]
    assert (model.encode(words) == np.stack([vectors[word] for word in words])).all()
    assert float(model.similarity(*model.encode(words))) == pytest.approx(
        dict(vectors.most_similar("dog", k=len(vectors)))["zt"], abs=1e-6
    )


def test_sentence_transformers_makes_unit_vectors_and_zero_stays_zero(tmp_path: Path, vectors: WordVectors) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    write_static_embedding(tmp_path, vectors.words, vectors.vectors, normalize=True)
    model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    expected = means(vectors)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(list(TEXTS)), expected / np.where(lengths > 0, lengths, 1), atol=1e-6)
    assert (lengths == 0).sum() == 3


def test_sentence_transformers_saves_the_folder_again(tmp_path: Path, vectors: WordVectors) -> None:
    """What it writes itself has the same weights and tokeniser: nothing of the folder is beyond it."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    write_static_embedding(tmp_path / "ours", vectors.words, vectors.vectors, tokenizer="words")
    model = sentence_transformers.SentenceTransformer(str(tmp_path / "ours"), device="cpu", local_files_only=True)
    model.save_pretrained(str(tmp_path / "theirs"))
    ours, theirs = (
        {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (tmp_path / "ours", tmp_path / "theirs")
    )
    assert ours.keys() <= theirs.keys()
    assert ours["model.safetensors"] == theirs["model.safetensors"]
    assert ours["tokenizer.json"] == theirs["tokenizer.json"]
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "theirs"), device="cpu", local_files_only=True)
    texts = ["Naïve 日本 DOG", "the naïve"]
    assert (again.encode(texts) == model.encode(texts)).all()
    expected = np.mean([vectors[word] for word in ("naïve", "日本", "dog")], axis=0)
    np.testing.assert_allclose(model.encode(texts[:1])[0], expected, atol=1e-6)


def test_resumes_training_there(tmp_path: Path, vectors: WordVectors) -> None:
    """The table is a parameter with a gradient on the rows of known words only."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    write_static_embedding(tmp_path, vectors.words, vectors.vectors)
    model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    preprocess = getattr(model, "preprocess", None) or model.tokenize
    model(preprocess(["a dog", "unknown"]))["sentence_embedding"].sum().backward()
    (table,) = model.parameters()
    assert table.grad.abs().sum(dim=1).nonzero().flatten().tolist() == [1, 3]
