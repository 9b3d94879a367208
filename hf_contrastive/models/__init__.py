"""What is trained."""

from hf_contrastive.models.knowledge_graph import KnowledgeGraphConfig, KnowledgeGraphModel
from hf_contrastive.models.order_embedding import OrderEmbeddingConfig, OrderEmbeddingModel
from hf_contrastive.models.sentence_encoder import SentenceEncoder
from hf_contrastive.models.static_embedding import write_static_embedding
from hf_contrastive.models.word_vectors import WordVectors

__all__ = [
    "KnowledgeGraphConfig",
    "KnowledgeGraphModel",
    "OrderEmbeddingConfig",
    "OrderEmbeddingModel",
    "SentenceEncoder",
    "WordVectors",
    "write_static_embedding",
]
