"""What a word is: running text into words, by rules that have a name."""

import unicodedata
from collections.abc import Callable
from string import ascii_lowercase, ascii_uppercase

from hf_contrastive.registry import Registry

# One sentence or paragraph to its words, none of them with white space in it. A very long line may be given in pieces
# that were cut at white space.
WordTokenizer = Callable[[str], list[str]]

_REGISTRY: Registry[WordTokenizer] = Registry("a word tokenizer", "tokenizer")


def register_word_tokenizer(name: str) -> Callable[[WordTokenizer], WordTokenizer]:
    """Decorator that makes a function known under `name`; a name can be taken once.

    Cached corpora know a tokeniser by its name: give one that was changed another name.
    """
    return _REGISTRY.register(name)


def word_tokenizer(name: str) -> WordTokenizer:
    """The tokeniser of that name.

    Raises:
        RecipeError: unknown name, with the nearest known one.
    """
    return _REGISTRY.named(name)


_DIGITS = tuple(
    (str(digit).encode(), f" {name} ".encode())
    for digit, name in enumerate("zero one two three four five six seven eight nine".split())
)
_TO_A_Z = bytearray(b" " * 256)
for _small, _capital in zip(ascii_lowercase, ascii_uppercase, strict=True):
    _TO_A_Z[ord(_small)] = _TO_A_Z[ord(_capital)] = ord(_small)
for _digit, _ in _DIGITS:
    _TO_A_Z[ord(_digit)] = ord(_digit)


@register_word_tokenizer("text8")
def text8_words(text: str) -> list[str]:
    """Lower-cased runs of a-z, digits spelled out one by one; all else, accented letters too, divides words.

    The rule by which Mahoney's wikifil.pl made text8 (http://mattmahoney.net/dc/textdata.html, appendix A).
    """
    # Like the Perl script on bytes: every byte of a character beyond ASCII is above 127.
    letters = text.encode("utf-8", "replace").translate(_TO_A_Z)
    for digit, name in _DIGITS:
        letters = letters.replace(digit, name)
    return letters.decode("ascii").split()


class _LettersAndMarks(dict[int, int]):
    """For `str.translate`: letters and marks stay, all else becomes a space; a character is looked up once."""

    def __missing__(self, code: int) -> int:
        self[code] = code if unicodedata.category(chr(code))[0] in "LM" else ord(" ")
        return self[code]


_TO_LETTERS = _LettersAndMarks()


@register_word_tokenizer("words")
def unicode_words(text: str) -> list[str]:
    """Lower-cased runs of letters and marks of any script (Unicode categories L and M); digits divide words."""
    return text.lower().translate(_TO_LETTERS).split()


@register_word_tokenizer("whitespace")
def whitespace_words(text: str) -> list[str]:
    """What stands between white space, as it is: for text that was split before."""
    return text.split()
