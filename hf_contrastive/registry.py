"""Things that recipes call by a plain name: ours, and those of other packages."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TypeVar

from hf_contrastive.errors import RecipeError, did_you_mean

_Thing = TypeVar("_Thing")


class Registry(dict[str, _Thing]):
    """Things by their name.

    Args:
        kind: what one of them is, with its article: `a sampler`.
        key: of the recipe, that names them.
        group: of entry points by which other packages add theirs; `None` if they cannot.
    """

    def __init__(self, kind: str, key: str, group: str | None = None) -> None:
        super().__init__()
        self.kind, self.key, self.group = kind, key, group

    def register(self, name: str) -> Callable[[_Thing], _Thing]:
        """Decorator that makes a thing known under `name`; a name can be taken once."""

        def add(thing: _Thing) -> _Thing:
            if self.get(name, thing) is not thing:
                other = getattr(self[name], "__qualname__", self[name])
                raise ValueError(f"{self.kind} called {name!r} is registered already: {other}")
            self[name] = thing
            return thing

        return add

    def known(self) -> dict[str, _Thing]:
        """All of them by name, those of installed packages included."""
        for entry in entry_points(group=self.group) if self.group is not None else ():
            if entry.name not in self:
                self.register(entry.name)(entry.load())
        return dict(sorted(self.items()))

    def named(self, name: str) -> _Thing:
        """The one of that name.

        Raises:
            RecipeError: unknown name, with the nearest known one.
        """
        known = self.known()
        if name not in known:
            kind = self.kind.partition(" ")[2]
            raise RecipeError(f"{self.key}: unknown {kind} {name!r}{did_you_mean(name, known)}")
        return known[name]
