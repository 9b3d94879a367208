"""The sampler of a recipe for tables, checked against objective and task."""

from hf_contrastive.arguments import SamplerArguments
from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import CachedNegatives, NegativeSampler, build_negatives
from hf_contrastive.objectives import Objective
from hf_contrastive.training.corrected_draws import check_corrected_draws
from hf_contrastive.training.distributed import world_size

REGIONS = frozenset({"bank", "counts"})  # what tables have of what samplers may need


def table_sampler(
    negatives: SamplerArguments,
    what: str,
    objective: Objective,
    name: str,
    width: int,
    seed: int,
    mask_positives: bool,
) -> NegativeSampler:
    """Make it.

    Args:
        what: the task has, for messages: words, graphs, hierarchies.
        objective: called `name` in the recipe.
        width: size of the vectors, for samplers that learn.
        seed: of a learned sampler's initial values.
        mask_positives: whether draws that hit the anchor's own positive are left out.

    Raises:
        RecipeError: it reads what tables do not have, or its draws cannot be corrected as the objective needs.
    """
    sampler = build_negatives(negatives.sampler_configs, width=width, seed=seed, mask_duplicates=mask_positives)
    missing = sorted(sampler.needs - REGIONS)
    if missing:
        raise RecipeError(f"negatives: {what} have no {', '.join(missing)}; use unigram, uniform or adversarial")
    if objective.needs_log_q and not sampler.gives_log_q:
        raise RecipeError(f"objective: {name} needs negatives drawn with a known probability; use unigram or uniform")
    check_corrected_draws(sampler, objective, name)
    if world_size() > 1 and any(isinstance(module, CachedNegatives) for module in sampler.modules()):
        raise RecipeError("negatives: cached keeps caches that ranks do not share for tables; start one process")
    return sampler
