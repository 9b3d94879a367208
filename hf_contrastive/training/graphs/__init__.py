"""Knowledge graphs: the module that is trained, and its Trainer."""

from hf_contrastive.training.graphs.build import contrastive_graph_model
from hf_contrastive.training.graphs.model import ContrastiveGraphModel
from hf_contrastive.training.graphs.trainer import GraphTrainer

__all__ = ["ContrastiveGraphModel", "GraphTrainer", "contrastive_graph_model"]
