"""Samplers by plain name, ours and those of other packages.

Another package adds its own with an entry point in the group `hf_contrastive.samplers`:

    [project.entry-points."hf_contrastive.samplers"]
    my_sampler = "my_package.samplers:MySampler"
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from hf_contrastive.errors import RecipeError, did_you_mean
from hf_contrastive.negatives.protocol import NegativeSampler
from hf_contrastive.registry import Registry

_REGISTRY: Registry[type[NegativeSampler]] = Registry("a sampler", "negatives", "hf_contrastive.samplers")
_Sampler = TypeVar("_Sampler", bound=type[NegativeSampler])


def register(name: str) -> Callable[[_Sampler], _Sampler]:
    """Class decorator that makes a sampler known under `name`; a name can be taken once."""
    return _REGISTRY.register(name)  # type: ignore[return-value]


def registered() -> dict[str, type[NegativeSampler]]:
    """Every sampler by name, those of installed packages included."""
    return _REGISTRY.known()


def build_sampler(config: dict[str, Any] | str, **shared: Any) -> NegativeSampler:
    """Make the sampler a recipe names.

    Args:
        config: `{"name": NAME, OPTION: VALUE, ...}`, or the name alone. The options `part` and `parts` are samplers
            in the same notation.
        shared: options given to every sampler whose constructor takes them.

    Raises:
        RecipeError: unknown name or option, with the nearest known one.
    """
    if isinstance(config, str):
        config = {"name": config}
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        raise RecipeError(f"negatives: {config!r} is not a sampler name or a mapping with the key name")
    options = dict(config)
    name = options.pop("name")
    sampler = _REGISTRY.named(name)
    # A Python name cannot be a keyword: the option `lambda` is the argument `lambda_`.
    arguments = {argument.rstrip("_"): argument for argument in _arguments(sampler)}
    for option in options:
        if option not in arguments:
            raise RecipeError(f"negatives: sampler {name} has no option {option!r}{did_you_mean(option, arguments)}")
    if "parts" in options:
        if not isinstance(options["parts"], list):
            raise RecipeError(f"negatives: sampler {name}: parts must be a list of samplers")
        options["parts"] = [build_sampler(part, **shared) for part in options["parts"]]
    if "part" in options:
        options["part"] = build_sampler(options["part"], **shared)
    given = {arguments[option]: value for option, value in options.items()}
    common = {key: value for key, value in shared.items() if key in arguments.values() and key not in given}
    try:
        return sampler(**given, **common)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"negatives: sampler {name}: {error}") from error


def _arguments(sampler: type[NegativeSampler]) -> list[str]:
    return list(inspect.signature(sampler.__init__).parameters)[1:]
