"""Augmentations by plain name, ours and those of other packages.

Another package adds its own with an entry point in the group `hf_contrastive.augmentations`:

    [project.entry-points."hf_contrastive.augmentations"]
    my_augmentation = "my_package.augmentations:MyAugmentation"
"""

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, TypeVar

from hf_contrastive.augmentations.protocol import Augmentation
from hf_contrastive.errors import ContrastiveError, RecipeError, did_you_mean

ENTRY_POINT_GROUP = "hf_contrastive.augmentations"

_REGISTRY: dict[str, type[Augmentation]] = {}
_Kind = TypeVar("_Kind", bound=type[Augmentation])


def register_augmentation(name: str) -> Callable[[_Kind], _Kind]:
    """Class decorator that makes an augmentation known under `name`; a name can be taken once."""

    def add(kind: _Kind) -> _Kind:
        if _REGISTRY.get(name, kind) is not kind:
            raise ValueError(f"an augmentation called {name!r} is registered already: {_REGISTRY[name].__qualname__}")
        _REGISTRY[name] = kind
        return kind

    return add


def registered_augmentations() -> dict[str, type[Augmentation]]:
    """Every augmentation by name, those of installed packages included."""
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name not in _REGISTRY:
            register_augmentation(entry.name)(entry.load())
    return dict(sorted(_REGISTRY.items()))


def build_augmentation(config: dict[str, Any] | str, **shared: Any) -> Augmentation:
    """Make the augmentation a recipe names.

    Args:
        config: `{"name": NAME, OPTION: VALUE, ...}`, or the name alone.
        shared: options given to every augmentation whose constructor takes them.

    Raises:
        RecipeError: unknown name or option, with the nearest known one, or a value that is refused.
        DataError: a file that the augmentation reads is not there or cannot be read.
    """
    options = {"name": config} if isinstance(config, str) else dict(config)
    name = options.pop("name")
    kinds = registered_augmentations()
    if name not in kinds:
        raise RecipeError(f"augmentation: unknown augmentation {name!r}{did_you_mean(name, kinds)}")
    known = [option for option in inspect.signature(kinds[name]).parameters if option not in shared]
    for option in options:
        if option not in known:
            raise RecipeError(f"augmentation: {name} has no option {option!r}{did_you_mean(option, known)}")
    taken = {key: value for key, value in shared.items() if key in inspect.signature(kinds[name]).parameters}
    try:
        return kinds[name](**options, **taken)
    except ContrastiveError:
        raise
    except (TypeError, ValueError) as error:
        raise RecipeError(f"augmentation: {name}: {error}") from error
