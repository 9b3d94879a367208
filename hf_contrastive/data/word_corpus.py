"""A corpus of word ids on disk: made once, then mapped into memory, never all of it in memory."""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from xxhash import xxh3_64_hexdigest

from hf_contrastive.data.texts import TextSource, find_texts
from hf_contrastive.data.vocabulary import Vocabulary
from hf_contrastive.data.word_encoding import IDS_FILE, STARTS_FILE, encode_words
from hf_contrastive.data.word_tokenizers import word_tokenizer
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.files import write_json

logger = logging.getLogger(__name__)

ABOUT_FILE = "corpus.json"
_FORMAT = 1  # of the cached folder; another one is another fingerprint


@dataclass(frozen=True, eq=False)
class WordCorpus:
    """Word ids of sentences; words without an entry in the vocabulary are left out, as word2vec does.

    Attributes:
        ids: int32 [N], mapped from disk.
        starts: int64 [S + 1], mapped from disk: sentence s is `ids[starts[s]:starts[s + 1]]`, and none is empty.
        vocabulary: what the ids are places in.
    """

    ids: np.ndarray
    starts: np.ndarray
    vocabulary: Vocabulary


def load_word_corpus(
    train_data: str,
    *,
    tokenizer: str = "text8",
    min_count: int = 5,
    max_vocabulary: int | None = None,
    max_rows: int | None = None,
    cache_dir: Path,
    train_data_name: str | None = None,
    train_split: str = "train",
) -> WordCorpus:
    """Count and encode a corpus, or find what an earlier call with the same files and settings made.

    What is left out (words by `min_count` and `max_vocabulary`, sentences that have no other words) is logged each
    time.

    Args:
        train_data: see `find_texts`; every line is a sentence.
        tokenizer: name of a word tokeniser.
        min_count: words that occur less often have no entry.
        max_vocabulary: entries at most, the most frequent ones; default: no limit.
        max_rows: read only the first so many rows.
        cache_dir: where the folder `<fingerprint>/` is made, which has its name when it is complete: `ids.npy`,
            `starts.npy`, the vocabulary and `corpus.json`. Processes that want the same one wait for the first.
        train_data_name: configuration of a Hub dataset.
        train_split: of a Hub dataset. What is cached of it is not compared with the Hub: delete the folder for that.

    Raises:
        DataError: a file that is not there or cannot be read, no words, or a vocabulary of fewer than two.
        RecipeError: an unknown tokeniser, or a setting out of range.
    """
    word_tokenizer(tokenizer)
    limits = (("min_count", min_count, 1), ("max_vocabulary", max_vocabulary, 2), ("max_rows", max_rows, 1))
    for name, value, least in limits:
        if value is not None and value < least:
            raise RecipeError(f"{name}: must be at least {least}, got {value}")
    source = find_texts(train_data, train_data_name, train_split)
    settings = {
        "tokenizer": tokenizer,
        "min_count": min_count,
        "max_vocabulary": max_vocabulary,
        "max_rows": max_rows,
    }
    fingerprint = xxh3_64_hexdigest(json.dumps([_FORMAT, source.stamp(), settings]).encode())
    folder = Path(cache_dir).expanduser() / fingerprint
    found = _open(folder)
    if found is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            found = _open(folder) or _make(folder, source, settings)
    corpus, counted = found
    _log(train_data, counted, settings)
    return corpus


def _open(folder: Path) -> tuple[WordCorpus, dict[str, int]] | None:
    """The corpus in a folder, with what was counted when it was made; `None` where none is or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        counted = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))["counted"]
        ids, starts = (np.load(folder / name, mmap_mode="r") for name in (IDS_FILE, STARTS_FILE))
        corpus = WordCorpus(ids, starts, Vocabulary.load(folder))
        if [len(ids), len(starts) - 1, len(corpus.vocabulary)] != [
            counted[name] for name in ("ids", "sentences", "vocabulary")
        ]:
            raise DataError("its files do not belong together")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return corpus, counted


def _make(folder: Path, source: TextSource, settings: dict[str, Any]) -> tuple[WordCorpus, dict[str, int]]:
    partial = folder.with_suffix(".partial")
    if folder.exists():
        logger.warning("%s: the cached corpus is damaged and is made anew", folder)
    for left in (partial, folder):  # a kill leaves the first
        if left.exists():
            shutil.rmtree(left)
    partial.mkdir()
    options = {name: value for name, value in settings.items() if name != "tokenizer"}
    try:
        counted = encode_words(source, word_tokenizer(settings["tokenizer"]), partial, **options)
        write_json(partial / ABOUT_FILE, {"source": source.stamp(), "settings": settings, "counted": counted})
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(folder)
    found = _open(folder)
    if found is None:
        raise DataError(f"{folder}: cannot be read back; check the disk of cache_dir")
    return found


def _log(name: str, counted: dict[str, int], settings: dict[str, Any]) -> None:
    number = {key: f"{value:,}" for key, value in counted.items()}
    logger.info(
        "%s: %s running words, %s distinct; vocabulary of %s words, %s of them running in %s sentences",
        name,
        number["running_words"],
        f"{counted['vocabulary'] + counted['rare_words'] + counted['capped_words']:,}",
        number["vocabulary"],
        number["ids"],
        number["sentences"],
    )
    reasons = (
        ("rare_words", f"words that occur less than min_count = {settings['min_count']} times", "rare_occurrences"),
        ("capped_words", f"words beyond max_vocabulary = {settings['max_vocabulary']}", "capped_occurrences"),
        ("lines_without_word", "lines without a word", None),
        ("sentences_left_out", "sentences with no word of the vocabulary", None),
    )
    parts = [
        f"{number[key]} {what}" + (f" ({number[times]} occurrences)" if times else "")
        for key, what, times in reasons
        if counted[key]
    ]
    if parts:
        logger.info("%s: left out: %s", name, ", ".join(parts))
