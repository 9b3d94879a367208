"""What goes to the Hub: the model card, the files beside it, and the way there."""

from hf_contrastive.hub.card import read_results, write_card, write_cards
from hf_contrastive.hub.publish import Published, PublishError, publish

__all__ = ["PublishError", "Published", "publish", "read_results", "write_card", "write_cards"]
