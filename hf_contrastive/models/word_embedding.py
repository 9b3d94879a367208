"""Word embeddings: an input and an output table (Mikolov et al., 2013), as a `PreTrainedModel`."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers import initialization as init

from hf_contrastive.arguments import ARCHITECTURES, one_of


class WordEmbeddingConfig(PretrainedConfig):
    """Shape of a `WordEmbeddingModel`.

    Args:
        vocabulary_size: V, words.
        dimension: D, numbers a word.
        architecture: `skip_gram` (a word predicts each of its neighbours) or `cbow` (the mean of the neighbours
            predicts the word).
        output_rows: rows of the output table: V, or V - 1 inner nodes under hierarchical softmax.
        tokenizer: name of the word tokeniser the corpus was split with.
    """

    model_type = "word_embedding"

    def __init__(
        self,
        vocabulary_size: int = 2,
        dimension: int = 100,
        architecture: str = "skip_gram",
        output_rows: int | None = None,
        tokenizer: str = "text8",
        **kwargs: Any,
    ) -> None:
        one_of("architecture", architecture, ARCHITECTURES)
        self.vocabulary_size = vocabulary_size
        self.dimension = dimension
        self.architecture = architecture
        self.output_rows = output_rows if output_rows is not None else vocabulary_size
        self.tokenizer = tokenizer
        super().__init__(**kwargs)


class WordEmbeddingModel(PreTrainedModel):
    """Two tables. The input table is what is published as word vectors.

    Input rows begin uniform in [-1/2D, 1/2D), output rows at zero, as in word2vec.
    """

    config_class = WordEmbeddingConfig
    base_model_prefix = ""

    def __init__(self, config: WordEmbeddingConfig) -> None:
        super().__init__(config)
        self.input_embeddings = nn.Parameter(torch.empty(config.vocabulary_size, config.dimension))
        self.output_embeddings = nn.Parameter(torch.empty(config.output_rows, config.dimension))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is self:
            init.uniform_(self.input_embeddings, -0.5 / self.config.dimension, 0.5 / self.config.dimension)
            init.zeros_(self.output_embeddings)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., D] of word ids [...]."""
        return rows_of(self.input_embeddings, ids)[0]


def rows_of(table: Tensor, *ids: Tensor, sparse: bool = True) -> tuple[Tensor, ...]:
    """Rows [..., D] of a table for each of `ids`.

    The gradient is sparse, rows and their values, and all of `ids` share one: sparse gradients are slow to add up.

    Args:
        sparse: `False` where most rows are looked up: a dense gradient is then the smaller one.
    """
    flat = ids[0].flatten() if len(ids) == 1 else torch.cat([part.flatten() for part in ids])
    rows = nn.functional.embedding(flat, table, sparse=sparse).split([part.numel() for part in ids])
    return tuple(part.view(*one.shape, table.shape[1]) for part, one in zip(rows, ids, strict=True))
