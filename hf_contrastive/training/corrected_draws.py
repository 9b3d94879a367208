"""Samplers whose draws an objective that corrects by log q would correct wrongly."""

from itertools import combinations

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import Joined, Mixture, NegativeSampler
from hf_contrastive.objectives import NCE, Objective


def check_corrected_draws(sampler: NegativeSampler, objective: Objective, name: str) -> None:
    """Refuse weights that a correction by log q knows nothing of, and rows that it would count twice.

    A column is corrected for the draws of its own part. Where two parts of a list propose rows of one region, such a
    row is counted once for each of them. Under sampled softmax the shares of a mixture, which sum to 1, make that
    right; NCE's positives are corrected for the draws of all parts, and there they do not.

    Args:
        objective: called `name` in the recipe.

    Raises:
        RecipeError: with the key to change.
    """
    if not objective.needs_log_q:
        return
    for module in sampler.modules():
        if getattr(module, "stands_for", None) is not None:
            raise RecipeError(
                f"negatives: stands_for gives draws another weight than the one objective {name} makes of their "
                "probability; leave stands_for out, and choose how many draws there are with k"
            )
        if isinstance(module, Mixture):
            if isinstance(objective, NCE) and not _asks_one_part(module):
                raise RecipeError(
                    f"negatives: objective {name} cannot correct the draws of a mixture, whose parts count by their "
                    "shares; name one of its parts alone, or use objective: sampled_softmax"
                )
        elif isinstance(module, Joined):
            twice = _twice(module)
            if twice:
                other = "" if isinstance(objective, NCE) else ", or join them as a mixture"
                raise RecipeError(
                    f"negatives: two samplers of a list propose rows of one region ({', '.join(twice)}), which "
                    f"objective {name} would count once for each; leave one of them out{other}"
                )


def _asks_one_part(mixture: Mixture) -> bool:
    """Whether the whole share is one part's at every step."""
    start, end = mixture.schedule["start"], mixture.schedule["end"]
    return start == end and (start == 1 or (start == 0 and len(mixture.parts) == 2))


def _twice(joined: Joined) -> list[str]:
    """Regions that more than one part of a list may propose."""
    regions = [part.needs - {"counts"} for part in joined.parts]  # type: ignore[operator]
    return sorted(frozenset().union(*(a & b for a, b in combinations(regions, 2))))
