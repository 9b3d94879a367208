"""What goes to the Hub: the model card, and the files beside it."""

from hf_contrastive.hub.card import read_results, write_card

__all__ = ["read_results", "write_card"]
