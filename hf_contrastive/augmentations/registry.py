"""Augmentations by plain name, ours and those of other packages.

Another package adds its own with an entry point in the group `hf_contrastive.augmentations`:

    [project.entry-points."hf_contrastive.augmentations"]
    my_augmentation = "my_package.augmentations:MyAugmentation"
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from hf_contrastive.augmentations.protocol import Augmentation
from hf_contrastive.errors import ContrastiveError, RecipeError, did_you_mean
from hf_contrastive.registry import Registry

_REGISTRY: Registry[type[Augmentation]] = Registry("an augmentation", "augmentation", "hf_contrastive.augmentations")
_Kind = TypeVar("_Kind", bound=type[Augmentation])


def register_augmentation(name: str) -> Callable[[_Kind], _Kind]:
    """Class decorator that makes an augmentation known under `name`; a name can be taken once."""
    return _REGISTRY.register(name)  # type: ignore[return-value]


def registered_augmentations() -> dict[str, type[Augmentation]]:
    """Every augmentation by name, those of installed packages included."""
    return _REGISTRY.known()


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
    kind = _REGISTRY.named(name)
    parameters = inspect.signature(kind).parameters
    known = [option for option in parameters if option not in shared]
    for option in options:
        if option not in known:
            raise RecipeError(f"augmentation: {name} has no option {option!r}{did_you_mean(option, known)}")
    taken = {key: value for key, value in shared.items() if key in parameters}
    try:
        return kind(**options, **taken)
    except ContrastiveError:
        raise
    except (TypeError, ValueError) as error:
        raise RecipeError(f"augmentation: {name}: {error}") from error
