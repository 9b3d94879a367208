"""Augmentations that hide words, and let a masked language model guess them or not (Gao et al., 2021, table 1)."""

from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase

from hf_contrastive.augmentations.protocol import Augmentation, WordAugmentation, check_share, share_of
from hf_contrastive.augmentations.registry import register_augmentation
from hf_contrastive.augmentations.word_parts import in_place_of, word_core
from hf_contrastive.errors import RecipeError
from hf_contrastive.positions import positions_of

_CHUNK = 16  # sentences the model sees at a time: its output has a number for each token and each word it knows
_BEST = 8  # guesses looked at for one that is another word, whatever the capitals


@register_augmentation("mask")
class Masked(WordAugmentation):
    """Puts the mask token in the place of a share of the words.

    Args:
        share: of the words that are hidden.
        tokenizer: of the encoder, which has the mask token.
    """

    def __init__(self, share: float = 0.15, *, tokenizer: PreTrainedTokenizerBase) -> None:
        self.share = check_share(share)
        if tokenizer.mask_token is None:
            raise ValueError("the checkpoint's tokeniser has no mask token; use word_deletion")
        self.mask_token: str = tokenizer.mask_token

    def change(self, words: list[str], draw: Random) -> list[str]:
        """The words, some of them hidden."""
        hidden = set(draw.sample(range(len(words)), share_of(len(words), self.share)))
        return [self.mask_token if place in hidden else word for place, word in enumerate(words)]


@register_augmentation("mlm")
class Predicted(Augmentation):
    """Replaces a share of the words by what a masked language model finds likeliest there.

    The words drawn in a sentence are hidden together, and the model's best whole word other than the one that stood
    there takes the place of each; punctuation around it stays. The model runs in float32 on the CPU, in the processes
    that load data. A sentence with fewer than two words is left as it is.

    Args:
        share: of the words that are replaced.
        model: checkpoint with a masked-language-model head, a folder or a Hub name; default: the one that is trained.
        checkpoint: the one that is trained.

    Raises:
        RecipeError: no such checkpoint, or one without that head, a mask token or whole words.
    """

    def __init__(self, share: float = 0.15, model: str | None = None, *, checkpoint: str) -> None:
        self.share = check_share(share)
        self.model, self.tokenizer = _load(model or checkpoint)
        self.words = _whole_words(self.tokenizer, self.model.config.vocab_size)
        if not self.words:
            raise RecipeError(f"augmentation: mlm: the vocabulary of {model or checkpoint} has no whole words")
        self.unusable = torch.ones(self.model.config.vocab_size, dtype=torch.bool)
        self.unusable[list(self.words)] = False

    def __call__(self, sentence: str, draw: Random) -> str:
        """The positive of one sentence."""
        return self.batch([[sentence]], [draw])[0]

    def batch(self, rows: Sequence[Sequence[str]], draws: Sequence[Random]) -> list[str]:
        """The positives, a few sentences in a pass of the model."""
        positives = [row[0] for row in rows]
        hidden = [self._draw(sentence, draw) for sentence, draw in zip(positives, draws, strict=True)]
        changed = [index for index, places in enumerate(hidden) if places]
        for start in range(0, len(changed), _CHUNK):
            chunk = changed[start : start + _CHUNK]
            masked = [self._masked(positives[index].split(), hidden[index]) for index in chunk]
            for index, guesses in zip(chunk, self._guesses(masked), strict=True):
                words = positives[index].split()
                # A place beyond the model's last position has no guess and keeps its word.
                for place, guess in zip(hidden[index], guesses, strict=False):
                    words[place] = _another_word(words[place], guess)
                positives[index] = " ".join(words)
        return positives

    def _draw(self, sentence: str, draw: Random) -> list[int]:
        """Places of the words to hide; punctuation that stands alone is no word."""
        places = [place for place, word in enumerate(sentence.split()) if word_core(word)]
        if len(places) < 2 or self.tokenizer.mask_token in sentence:
            return []
        return sorted(draw.sample(places, share_of(len(places), self.share)))

    def _masked(self, words: list[str], places: list[int]) -> str:
        for place in places:
            words[place] = words[place].replace(word_core(words[place]), self.tokenizer.mask_token, 1)
        return " ".join(words)

    @torch.no_grad()
    def _guesses(self, masked: list[str]) -> list[list[list[str]]]:
        """For each sentence and each of its masks whole words, the likeliest first."""
        limit = positions_of(self.model, self.tokenizer)
        tokens = self.tokenizer(masked, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        is_mask = tokens["input_ids"] == self.tokenizer.mask_token_id
        logits: Tensor = self.model(**tokens).logits[is_mask].masked_fill(self.unusable, -torch.inf)
        best = iter(logits.topk(min(_BEST, len(self.words))).indices.tolist())
        return [[[self.words[i] for i in next(best)] for _ in range(count)] for count in is_mask.sum(1).tolist()]


def _another_word(word: str, guesses: list[str]) -> str:
    """The best guess that is not `word` itself in other capitals."""
    core = word_core(word)
    return in_place_of(word, next((guess for guess in guesses if guess.lower() != core.lower()), core))


def _load(name: str) -> tuple[Any, Any]:
    """A masked language model, ready to predict, and its tokeniser."""
    remedy = "name one that has, for instance `augmentation: {name: mlm, model: bert-base-cased}`"
    try:
        model, loading = AutoModelForMaskedLM.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"augmentation: mlm: {name} cannot be loaded as a masked language model; {remedy} "
            f"({str(error).splitlines()[0]})"
        ) from error
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        raise RecipeError(
            f"augmentation: mlm: {name} has no masked-language-model head ({missing[0]} is missing); {remedy}"
        )
    if tokenizer.mask_token is None:
        raise RecipeError(f"augmentation: mlm: the tokeniser of {name} has no mask token; {remedy}")
    return model.eval(), tokenizer


def _whole_words(tokenizer: Any, size: int) -> dict[int, str]:
    """The ids that stand for a whole word of letters; pieces that continue a word are none."""
    tokens = {id_: token for token, id_ in tokenizer.get_vocab().items() if id_ < size}
    special = set(tokenizer.all_special_ids)
    starts = ("\u0120", "\u2581")  # how byte-level BPE and SentencePiece mark the begin of a word
    marked = any(token.startswith(starts) for token in tokens.values())
    words = {}
    for id_, token in sorted(tokens.items()):
        word = token[1:] if marked and token.startswith(starts) else "" if marked else token
        if id_ not in special and word.isalpha():
            words[id_] = word
    return words
