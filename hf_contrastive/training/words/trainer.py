"""Words on the stock Trainer."""

from collections.abc import Callable
from typing import Any

from hf_contrastive.data import WordCorpus
from hf_contrastive.data.word_chunks import WordChunks, collate_chunks
from hf_contrastive.models.word_embedding import WordEmbeddingModel
from hf_contrastive.training.table_trainer import TableTrainer
from hf_contrastive.training.words.model import ContrastiveWordModel


class WordTrainer(TableTrainer):
    """Train word vectors on a corpus.

    Args:
        model: what `contrastive_word_model` makes.
        args: `WordTrainingArguments`.
        corpus: running words.
        chunk_words: words a chunk; a batch is `per_device_train_batch_size` chunks.
        evaluator: from the `WordEmbeddingModel` to a dictionary of figures; called whenever the Trainer evaluates.
        kwargs: everything else `transformers.Trainer` takes.
    """

    counted = "words"

    def __init__(
        self,
        model: ContrastiveWordModel,
        args: Any,
        corpus: WordCorpus,
        *,
        chunk_words: int = 512,
        evaluator: Callable[[WordEmbeddingModel], dict[str, float]] | None = None,
        **kwargs: Any,
    ) -> None:
        chunks = WordChunks(corpus, chunk_words)
        super().__init__(
            model, args, train_dataset=chunks, evaluator=evaluator, data_collator=collate_chunks, **kwargs
        )

    def count(self, inputs: dict[str, Any]) -> int:
        """Running words, before frequent ones are thinned out, as word2vec and gensim count them."""
        return len(inputs["ids"])
