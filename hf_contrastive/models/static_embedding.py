"""Word vectors as a sentence-transformers model: a text's vector is the mean of its known words' vectors.

Only its core modules are named, `StaticEmbedding -> [Normalize]`, so that `SentenceTransformer(folder)` needs no code
of ours. The tokeniser beside the vectors splits text as the corpus was split.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.files import whole_file, write_json
from hf_contrastive.models.word_vectors import WordVectors

logger = logging.getLogger(__name__)

_PREFIX = "sentence_transformers.models."
_START = "\ue000"  # begins every entry of the tokeniser's vocabulary: a private character, of no text


def write_static_embedding(
    folder: str | Path,
    words: Sequence[str],
    vectors: np.ndarray,
    counts: np.ndarray | None = None,
    lowercase: bool | None = None,
    *,
    tokenizer: str = "text8",
    sif: float | None = None,
    normalize: bool = False,
    subfolder: str = "",
) -> None:
    """Write a folder that `SentenceTransformer(folder)` loads.

    Unknown words do not count; a text without a known word has the vector zero.

    Args:
        folder: made where it is not there.
        words: V words.
        vectors: [V, D], stored as float32.
        counts: [V], occurrences in the corpus; for `sif`.
        lowercase: whether text is lower-cased before it is looked up; `None`: as the corpus was by `tokenizer`.
        tokenizer: name of the word tokeniser of the corpus: `text8`, `words` or `whitespace`.
        sif: a of the smooth inverse frequency weights a / (a + p(word)) by which rows are multiplied (Arora et al.,
            2017, without the removal of the first component); 1e-3 is theirs. `None`: all words weigh the same.
        normalize: append the module that makes vectors unit vectors.
        subfolder: of the vectors and their tokeniser; "" is where sentence-transformers puts them. Name another where
            the folder holds a model.safetensors already.

    Raises:
        DataError: words, vectors and counts do not fit, or no word would ever be found.
        RecipeError: a tokeniser that cannot be written, or settings that do not fit.
    """
    table = WordVectors(list(words), vectors, counts)
    rows = table.vectors if sif is None else table.vectors * _sif_weights(table.counts, sif)[:, np.newaxis]
    splitter = _word_tokenizer(table.words, tokenizer, lowercase)
    folder = Path(folder)
    with whole_file(folder / subfolder / "tokenizer.json") as partial:
        splitter.save(str(partial))
    with whole_file(folder / subfolder / "model.safetensors") as partial:
        save_file({"embedding.weight": torch.from_numpy(rows)}, partial)
    modules = [(subfolder, "StaticEmbedding")]
    if normalize:
        modules.append(("1_Normalize", "Normalize"))
        (folder / "1_Normalize").mkdir(exist_ok=True)
    write_json(
        folder / "config_sentence_transformers.json",
        {"similarity_fn_name": "cosine", "prompts": {}, "default_prompt_name": None},
    )
    listing = [
        {"idx": i, "name": str(i), "path": path, "type": _PREFIX + kind} for i, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", listing)


def _sif_weights(counts: np.ndarray | None, a: float) -> np.ndarray:
    if counts is None:
        raise RecipeError("sif: weights by frequency need the counts of the words; give counts or drop sif")
    if not a > 0:
        raise RecipeError(f"sif: must be positive, got {a}")
    probability = counts / counts.sum()
    return (a / (a + probability)).astype(np.float32)


def _word_tokenizer(words: list[str], name: str, lowercase: bool | None) -> Tokenizer:
    """Text to the rows of its known words.

    `WordLevel` cannot drop a word it does not know: it wants an unknown token, whose row would count in the mean. BPE
    drops what it does not know. Without merges, and with entries that begin with a character of their own, it finds a
    word as a whole or nothing of it.
    """
    if name not in _SPLITTERS:
        raise RecipeError(f"tokenizer: no rule for {name!r} in a model folder; choose from {', '.join(_SPLITTERS)}")
    vocabulary = {_START + word: row for row, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    splitting, between = _SPLITTERS[name](lowercase)
    tokenizer.normalizer = normalizers.Sequence(splitting)
    prefix = pre_tokenizers.Metaspace(_START, prepend_scheme="always", split=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(between), "removed"), prefix])
    _check_found(tokenizer, words, name)
    return tokenizer


def _check_found(tokenizer: Tokenizer, words: list[str], name: str) -> None:
    found = [encoding.ids for encoding in tokenizer.encode_batch(words, add_special_tokens=False)]
    lost = [word for row, word in enumerate(words) if found[row] != [row]]
    if len(lost) == len(words):
        raise DataError(f"no word, {words[0]!r} for one, is a word of the tokenizer {name!r}; name the corpus's own")
    if lost:
        logger.warning(
            "%d of %d words, %r for one, can never be found in text: the tokenizer %r does not make such words",
            *(len(lost), len(words), lost[0], name),
        )


_Splitter = Callable[[bool | None], tuple[list[normalizers.Normalizer], str]]


def _text8(lowercase: bool | None) -> tuple[list[normalizers.Normalizer], str]:
    if lowercase is False:
        raise RecipeError("lowercase: the tokenizer 'text8' knows a-z only; leave lowercase out")
    # Before the capitals: some characters beyond ASCII have a lower case in a-z, and text8 knows bytes only.
    ascii_only: normalizers.Normalizer = normalizers.Replace(Regex(r"[^\x00-\x7f]+"), " ")
    names = "zero one two three four five six seven eight nine".split()
    digits = [normalizers.Replace(str(digit), f" {name} ") for digit, name in enumerate(names)]
    return [ascii_only, normalizers.Lowercase(), *digits], "[^a-z]+"


def _words(lowercase: bool | None) -> tuple[list[normalizers.Normalizer], str]:
    return _lower_case(lowercase is not False), r"[^\p{L}\p{M}]+"


def _whitespace(lowercase: bool | None) -> tuple[list[normalizers.Normalizer], str]:
    return _lower_case(lowercase is True), r"[\s\x1c-\x1f]+"  # what str.split takes for white space


def _lower_case(wanted: bool) -> list[normalizers.Normalizer]:
    """Lower case as of `str.lower`, which knows that a capital sigma at the end of a word becomes another letter."""
    if not wanted:
        return []
    last_sigma = normalizers.Replace(Regex(r"(?<=[\p{L}\p{M}])\u03a3(?![\p{M}'’.:·]*\p{L})"), "\u03c2")
    return [last_sigma, normalizers.Lowercase()]


_SPLITTERS: dict[str, _Splitter] = {"text8": _text8, "words": _words, "whitespace": _whitespace}
