"""Samplers whose draws an objective that corrects by log q would correct wrongly."""

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.objectives import Objective


def check_corrected_draws(sampler: NegativeSampler, objective: Objective, name: str) -> None:
    """Refuse weights that a correction by log q knows nothing of.

    Args:
        objective: called `name` in the recipe.

    Raises:
        RecipeError: with the key to change.
    """
    if not objective.needs_log_q:
        return
    if any(getattr(module, "stands_for", None) is not None for module in sampler.modules()):
        raise RecipeError(
            f"negatives: stands_for gives draws another weight than the one objective {name} makes of their "
            "probability; leave stands_for out, and choose how many draws there are with k"
        )
