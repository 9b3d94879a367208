"""Word tokenisers, by example and by what they are defined to be."""

import copy
import re
import unicodedata
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_contrastive.data import register_word_tokenizer, word_tokenizer, word_tokenizers
from hf_contrastive.errors import RecipeError

DIGITS = "zero one two three four five six seven eight nine".split()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("text8", "In 1984, B2B isn't", "in one nine eight four b two b isn t"),
        ("text8", "2006 a.d.", "two zero zero six a d"),
        ("text8", "naïve CAFÉ_Über \u212a 東京 ١", "na ve caf ber"),  # no letter beyond ASCII becomes one of a-z
        ("text8", "half\ud800pair tab\tline\x00end\x85", "half pair tab line end"),
        ("text8", " \n", ""),
        ("words", "Straße ÉCOLE e\u0301 don't, x²_y", "straße école e\u0301 don t x y"),
        ("words", "ПРИВЕТ 東京2024年 नमस्ते ٣ Ⅷ", "привет 東京 年 नमस्ते"),
        ("words", "7 !", ""),
        ("whitespace", " The U.S. ,\u3000`` 1984 ''\n", "The U.S. , `` 1984 ''"),
    ],
)
def test_tokenizers_by_example(name: str, text: str, words: str) -> None:
    assert word_tokenizer(name)(text) == words.split()


@given(st.text())
def test_text8_is_wikifil_rule(text: str) -> None:
    lower = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
    spelt = re.sub("[0-9]", lambda digit: f" {DIGITS[int(digit[0])]} ", lower)
    assert word_tokenizer("text8")(text) == re.findall("[a-z]+", spelt)


@given(st.text())
def test_words_are_runs_of_letters_and_marks(text: str) -> None:
    runs = groupby(text.lower(), key=lambda c: unicodedata.category(c)[0] in "LM")
    assert word_tokenizer("words")(text) == ["".join(run) for is_word, run in runs if is_word]


def test_tokenizers_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_tokenizers, "_REGISTRY", copy.copy(word_tokenizers._REGISTRY))
    with pytest.raises(RecipeError, match="unknown word tokenizer 'text9'; did you mean 'text8'"):
        word_tokenizer("text9")
    with pytest.raises(RecipeError, match="'qqq'; choose from text8, whitespace, words"):
        word_tokenizer("qqq")
    register_word_tokenizer("letters")(list)
    assert word_tokenizer("letters")("ab") == ["a", "b"]
    register_word_tokenizer("letters")(list)
    with pytest.raises(ValueError, match="'letters' is registered already"):
        register_word_tokenizer("letters")(str.split)
