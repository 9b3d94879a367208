"""Pictures of what a model's vectors look like, and the figures behind them."""

from hf_contrastive.look.look import look
from hf_contrastive.look.measure import Figures, PathPoint

__all__ = ["Figures", "PathPoint", "look"]
