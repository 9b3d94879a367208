"""Word vectors as a sentence-transformers folder; that it loads there is in test_word_exports.py."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from hf_contrastive.data.word_tokenizers import word_tokenizer
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.models import write_static_embedding

WORDS = ["the", "a", "s", "dog", "seven", "e"]


def splitter(folder: Path) -> Callable[[str], list[int]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def test_unknown_words_have_no_token(tmp_path: Path) -> None:
    write_static_embedding(tmp_path, WORDS, np.eye(6))
    ids = splitter(tmp_path)
    assert ids("The DOG's 7, a!") == [0, 3, 2, 4, 1]
    assert ids("xylophone these ease es thea dogs") == []  # neither letters nor pieces of unknown words count
    assert ids("") == ids("  ?") == []


def many_characters() -> list[str]:
    """Of each a text with it in a word, alone and at a word's end; Python knows none that are newer than itself."""
    blocks = [range(0x600), range(0x900, 0xA00), range(0x1E00, 0x2200), range(0x3000, 0x3100), range(0xFE00, 0xFFFF)]
    known = [chr(code) for block in blocks for code in block]
    texts = [f"a{char}b {char} x{char}" for char in known if char.isprintable() or char.isspace()]
    return [*texts, "THE 42 dogs’ K9", "ΟΔΟΣ ΣΑΣ Σ ΑΣ. ΑΣ'Α σας", "\u2581the", "a\x1cb\x85c\xa0d", "İstanbul ŉ ǅ"]


@pytest.mark.parametrize("name", ["text8", "words", "whitespace"])
def test_text_is_split_as_the_corpus_was(tmp_path: Path, name: str) -> None:
    split = word_tokenizer(name)
    texts = many_characters()
    words = list(dict.fromkeys(word for text in texts for word in split(text)))
    write_static_embedding(tmp_path, words, np.zeros((len(words), 1)), tokenizer=name)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    found = tokenizer.encode_batch(texts, add_special_tokens=False)
    index = {word: row for row, word in enumerate(words)}
    wrong = [text for text, got in zip(texts, found, strict=True) if got.ids != [index[word] for word in split(text)]]
    assert not wrong, wrong[:5]


def test_lower_case_can_be_chosen(tmp_path: Path) -> None:
    for number, (name, lowercase, expected) in enumerate(
        [
            ("words", None, [1, 1]),
            ("words", False, [0, 1]),
            ("whitespace", None, [0, 1]),
            ("whitespace", True, [1, 1]),
            ("text8", True, [1, 1]),
        ]
    ):
        folder = tmp_path / str(number)
        write_static_embedding(folder, ["Dog", "dog"], np.eye(2), lowercase=lowercase, tokenizer=name)
        assert splitter(folder)("Dog dog") == expected
    with pytest.raises(RecipeError, match="lowercase.*text8"):
        write_static_embedding(tmp_path, ["dog"], np.eye(1), lowercase=False)


def test_the_folder_holds_core_modules_and_no_pickle(tmp_path: Path) -> None:
    write_static_embedding(tmp_path, WORDS, np.arange(12).reshape(6, 2), normalize=True, subfolder="0_StaticEmbedding")
    files = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    vectors = "0_StaticEmbedding/model.safetensors"
    about = {"modules.json", "config_sentence_transformers.json"}
    assert files == about | {vectors, "0_StaticEmbedding/tokenizer.json"}
    assert load_file(tmp_path / vectors)["embedding.weight"].tolist() == np.arange(12).reshape(6, 2).tolist()
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert [(module["type"], module["path"]) for module in modules] == [
        ("sentence_transformers.models.StaticEmbedding", "0_StaticEmbedding"),
        ("sentence_transformers.models.Normalize", "1_Normalize"),
    ]


def test_frequent_words_can_weigh_less(tmp_path: Path) -> None:
    counts, vectors = np.array([70, 20, 10]), np.array([[1.0, 2], [3, 4], [5, 6]])
    write_static_embedding(tmp_path, ["a", "b", "c"], vectors, counts, sif=0.1)
    expected = [[x * 0.1 / (0.1 + share) for x in row] for row, share in zip(vectors, (0.7, 0.2, 0.1), strict=True)]
    np.testing.assert_allclose(load_file(tmp_path / "model.safetensors")["embedding.weight"], expected, rtol=1e-6)


def test_says_which_words_can_never_be_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        write_static_embedding(tmp_path, ["dog", "don't", "Cat"], np.eye(3))
    assert '2 of 3 words, "don\'t" for one' in caplog.text
    with pytest.raises(DataError, match="'Dog' for one, is a word of the tokenizer 'text8'"):
        write_static_embedding(tmp_path / "none", ["Dog", "Cat"], np.eye(2))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"tokenizer": "text9"}, RecipeError, "'text9'.*choose from text8, words, whitespace"),
        ({"sif": 0.1}, RecipeError, "sif.*counts"),
        ({"sif": 0.0, "counts": np.ones(6)}, RecipeError, "sif: must be positive"),
        ({"counts": np.ones(5)}, DataError, "counts"),
    ],
)
def test_says_what_cannot_be_written(tmp_path: Path, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        write_static_embedding(tmp_path / "out", WORDS, np.eye(6), **options)
    assert not (tmp_path / "out").exists()
