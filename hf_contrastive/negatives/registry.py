"""Samplers by plain name, ours and those of other packages.

Another package adds its own with an entry point in the group `hf_contrastive.samplers`:

    [project.entry-points."hf_contrastive.samplers"]
    my_sampler = "my_package.samplers:MySampler"
"""

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

from hf_contrastive.errors import RecipeError, did_you_mean
from hf_contrastive.negatives.protocol import NegativeSampler

ENTRY_POINT_GROUP = "hf_contrastive.samplers"

_REGISTRY: dict[str, type[NegativeSampler]] = {}
_Sampler = TypeVar("_Sampler", bound=type[NegativeSampler])


def register(name: str) -> Callable[[_Sampler], _Sampler]:
    """Class decorator that makes a sampler known under `name`; a name can be taken once."""

    def add(sampler: _Sampler) -> _Sampler:
        if _REGISTRY.get(name, sampler) is not sampler:
            raise ValueError(f"a sampler called {name!r} is registered already: {_REGISTRY[name].__qualname__}")
        _REGISTRY[name] = sampler
        return sampler

    return add


def registered() -> dict[str, type[NegativeSampler]]:
    """Every sampler by name, those of installed packages included."""
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name not in _REGISTRY:
            register(entry.name)(entry.load())
    return dict(sorted(_REGISTRY.items()))


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
    samplers = registered()
    if name not in samplers:
        raise RecipeError(f"negatives: unknown sampler {name!r}{did_you_mean(name, samplers)}")
    # A Python name cannot be a keyword: the option `lambda` is the argument `lambda_`.
    arguments = {argument.rstrip("_"): argument for argument in _arguments(samplers[name])}
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
        return samplers[name](**given, **common)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"negatives: sampler {name}: {error}") from error


def _arguments(sampler: type[NegativeSampler]) -> list[str]:
    return list(inspect.signature(sampler.__init__).parameters)[1:]
