"""The work folder beside the output: what a kill leaves of it is picked up again, by the same settings only."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState

from hf_contrastive.errors import RecipeError

SETTINGS = "mine.json"


class Shards:
    """Numbered files of one folder, each of `size` consecutive items out of `count`.

    Args:
        folder: made when the first file is written.
        count: items in all files.
        size: items a file; the last one has what is left.
        suffix: of the files.
        is_complete: whether a file that exists holds what it should, given its path and number of items.
    """

    def __init__(
        self, folder: Path, count: int, size: int, suffix: str, is_complete: Callable[[Path, int], bool]
    ) -> None:
        self.folder = folder
        self.count = count
        self.size = size
        self.suffix = suffix
        self._is_complete = is_complete

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def span(self, number: int) -> range:
        """The items of one file."""
        return range(number * self.size, min((number + 1) * self.size, self.count))

    def path(self, number: int) -> Path:
        """The file of that number."""
        return self.folder / f"{number:05d}{self.suffix}"

    def missing(self, ranks: PartialState) -> list[int]:
        """Files still to be made, the same list on every process: none writes before all have looked."""
        ranks.wait_for_everyone()
        numbers = [number for number in range(len(self)) if not self._there(number)]
        ranks.wait_for_everyone()
        return numbers

    def _there(self, number: int) -> bool:
        path = self.path(number)
        return path.is_file() and self._is_complete(path, len(self.span(number)))


def check_settings(folder: Path, settings: Mapping[str, Any], remedy: str) -> None:
    """Compare with the settings under which `folder` was begun; a folder that does not exist fits any.

    Raises:
        RecipeError: names the keys that differ, and ends with `remedy`.
    """
    path = folder / SETTINGS
    if not path.is_file():
        if folder.is_dir() and any(entry.suffix != ".partial" for entry in folder.iterdir()):
            raise RecipeError(f"{folder}: holds files, but no {SETTINGS} that says how they were made; {remedy}")
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path}: not JSON ({error}); {remedy}") from error
    differ = [
        f"{key} ({_shown(old.get(key))} -> {_shown(settings.get(key))})"
        for key in dict.fromkeys((*settings, *old))
        if old.get(key) != settings.get(key)
    ]
    if differ:
        raise RecipeError(f"{folder} was begun with other settings, which differ in {', '.join(differ)}; {remedy}")


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
