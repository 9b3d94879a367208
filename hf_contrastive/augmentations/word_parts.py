"""A word and the punctuation around it."""

import re

_AROUND = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)


def word_core(word: str) -> str:
    """`word` without the punctuation at its ends; empty where it is nothing else."""
    match = _AROUND.fullmatch(word)
    return match[2] if match else ""


def in_place_of(word: str, other: str) -> str:
    """`other` with the punctuation of `word` around it, and a capital where `word` begins with one."""
    core = word_core(word)
    return word.replace(core, other[:1].upper() + other[1:] if core[:1].isupper() else other, 1)
