"""Corpora of word ids by a plain Python loop."""

from collections import Counter
from pathlib import Path

from hf_contrastive.data import WordCorpus, load_word_corpus, word_tokenizer


def load(train_data: str | Path, cache: Path, **options) -> WordCorpus:
    return load_word_corpus(str(train_data), cache_dir=cache, **options)


def sentences(corpus: WordCorpus) -> list[list[str]]:
    ids = [corpus.ids[a:b].tolist() for a, b in zip(corpus.starts[:-1], corpus.starts[1:], strict=True)]
    return [[corpus.vocabulary.words[number] for number in sentence] for sentence in ids]


def reference(lines: list[str], tokenizer: str, min_count: int, most: int | None) -> tuple[list, list, int]:
    """Vocabulary, sentences and running words by a plain loop."""
    split = [word_tokenizer(tokenizer)(line) for line in lines]
    counts = Counter(word for words in split for word in words)
    entries = sorted((-count, word) for word, count in counts.items() if count >= min_count)[:most]
    kept = {word for _, word in entries}
    left = [[word for word in words if word in kept] for words in split]
    return [(word, -count) for count, word in entries], [words for words in left if words], counts.total()
