"""Synonym replacement by WordNet (Gao et al., 2021, table 1), read from files."""

import gzip
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

from hf_contrastive.augmentations.protocol import WordAugmentation
from hf_contrastive.augmentations.registry import register_augmentation
from hf_contrastive.augmentations.word_parts import in_place_of, word_core
from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)

DATA_VARIABLE = "HF_CONTRASTIVE_DATA"
_TABLES = ("synsets.tsv", "synsets.tsv.gz")
_DATABASE = ("data.noun", "data.verb", "data.adj", "data.adv")
# They have homographs in WordNet (`in` the inch, `he` the letter, `was` of to be) and are never meant as those.
_FUNCTION_WORDS = frozenset(
    "a about above after again against ago all also am an and another any are as at away back be because been before "
    "behind being below between both but by can could did do does doing down during each either else even ever every "
    "few for from further had has have having he her here hers herself him himself his how i if in into is it its "
    "itself just least less like many may me might mine more most much must my myself near neither no nor not now of "
    "off on once one only or other our ours out over own same shall she should since so some still such than that the "
    "their theirs them then there these they this those through to too under until up upon us very was we well were "
    "what when where which while who whom whose why will with within without would yet you your yours".split()
)


@register_augmentation("synonym")
class SynonymReplacement(WordAugmentation):
    """Replaces one word by a synonym: both drawn uniformly, from the words that have some and from all their senses.

    A word is looked up as it stands, in lower case; function words are left alone. A sentence of one word, and one
    none of whose words has a synonym, is left as it is.

    Args:
        wordnet: folder with `synsets.tsv[.gz]` (name, offset, lemmas divided by commas, gloss; tabs) or with WordNet's
            own `data.noun`, `data.verb`, `data.adj`, `data.adv`, as many as there are; or a folder of such folders,
            of which the first is taken. Default: `HF_CONTRASTIVE_DATA/wordnet`.

    Raises:
        DataError: no such files, or a line of them that cannot be read.
    """

    def __init__(self, wordnet: str | None = None) -> None:
        self.synonyms = load_synonyms(_find(wordnet))

    def change(self, words: list[str], draw: Random) -> list[str]:
        """The words, one of them replaced."""
        places = [place for place, word in enumerate(words) if word_core(word).lower() in self.synonyms]
        if not places:
            return words
        place = draw.choice(places)
        synonym = draw.choice(self.synonyms[word_core(words[place]).lower()])
        return [*words[:place], in_place_of(words[place], synonym), *words[place + 1 :]]


def load_synonyms(files: list[Path]) -> dict[str, list[str]]:
    """Lower-case words to the other lemmas of all their synsets, each once, in the files' order.

    Raises:
        DataError: a line that cannot be read, or no synonyms in any.
    """
    synonyms: dict[str, dict[str, None]] = {}
    for path in files:
        for lemmas in _table(path) if path.name in _TABLES else _database(path):
            lemmas = [lemma.replace("_", " ") for lemma in lemmas]
            for lemma in lemmas:
                if lemma.islower() and " " not in lemma and lemma not in _FUNCTION_WORDS:
                    others = {other: None for other in lemmas if other.lower() != lemma}
                    if others:
                        synonyms.setdefault(lemma, {}).update(others)
    if not synonyms:
        raise DataError(f"augmentation: synonym: no synset in {', '.join(map(str, files))} has two lemmas")
    logger.info("synonyms of %s words from %s", f"{len(synonyms):,}", ", ".join(map(str, files)))
    return {word: list(others) for word, others in synonyms.items()}


def _find(folder: str | None) -> list[Path]:
    """The files to read."""
    remedy = "give the folder: `augmentation: {name: synonym, wordnet: FOLDER}`"
    if folder is None:
        root = os.environ.get(DATA_VARIABLE)
        if not root:
            raise DataError(f"augmentation: synonym: no WordNet named, and {DATA_VARIABLE} is not set; {remedy}")
        folder = str(Path(root) / "wordnet")
    base = Path(folder).expanduser()
    for place in [base, *(sorted(base.iterdir()) if base.is_dir() else [])]:
        tables = [place / name for name in _TABLES if (place / name).is_file()]
        database = [place / name for name in _DATABASE if (place / name).is_file()]
        if tables or database:
            return tables[:1] or database
    raise DataError(f"augmentation: synonym: neither {_TABLES[0]}[.gz] nor {_DATABASE[0]} in {base}; {remedy}")


def _table(path: Path) -> Iterator[list[str]]:
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) < 3:
            raise DataError(f"{path}, line {number}: expected name, offset, lemmas, gloss, got {len(fields)} fields")
        yield fields[2].split(",")


def _database(path: Path) -> Iterator[list[str]]:
    """WordNet's own format (wndb(5WN)): offset, file, type, number of words in hexadecimal, then word and id."""
    for number, line in _lines(path):
        if line.startswith("  "):  # the licence
            continue
        fields = line.split(" ")
        try:
            count = int(fields[3], 16)
            words = fields[4 : 4 + 2 * count : 2]
            if len(words) != count:
                raise ValueError
        except (IndexError, ValueError):
            raise DataError(f"{path}, line {number}: not a synset of WordNet; download the file anew") from None
        yield [word.partition("(")[0] for word in words]  # adjectives carry their position: alive(p)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); download the file anew") from error
