"""The work folder beside an output: what a kill leaves of it is picked up again, by the same settings only."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from hf_contrastive.errors import RecipeError


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


def output_file(output: Path, name: str, formats: Sequence[str]) -> Path:
    """The file that `output` means: itself, or `name` in it where it is a folder.

    Raises:
        RecipeError: a suffix that is not among `formats`.
    """
    if output.suffix.lower() in formats and not output.is_dir():
        return output
    if output.is_dir() or not output.suffix:
        return output / name
    raise RecipeError(f"output: {output} is neither a folder nor one of *{', *'.join(formats)}")


def work_folder(file: Path) -> Path:
    """Where what belongs to an unfinished file is kept."""
    return file.with_name(file.name + ".work")


def check_writable(file: Path) -> None:
    """Make the folder of a file; `RecipeError` where nothing can be written to it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".writable-"):
            pass
    except OSError as error:
        raise RecipeError(f"output: {file.parent} cannot be written ({error.strerror}); choose another") from error


def check_settings(path: Path, settings: Mapping[str, Any], remedy: str) -> None:
    """Compare with the settings under which the folder of `path` was begun; a folder that does not exist fits any.

    Args:
        path: JSON file of the settings, in that folder.
        settings: those of now.
        remedy: what the user can do.

    Raises:
        RecipeError: names the keys that differ, and ends with `remedy`.
    """
    folder = path.parent
    if not path.is_file():
        if folder.is_dir() and any(entry.suffix != ".partial" for entry in folder.iterdir()):
            raise RecipeError(f"{folder}: holds files, but no {path.name} that says how they were made; {remedy}")
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path}: not JSON ({error}); {remedy}") from error
    refuse_differences(folder, old, settings, remedy)


def refuse_differences(begun: Path, old: Mapping[str, Any], settings: Mapping[str, Any], remedy: str) -> None:
    """Raise `RecipeError`, with the keys that differ, where `begun` was made under other settings."""
    differ = [
        f"{key} ({_shown(old.get(key))} -> {_shown(settings.get(key))})"
        for key in dict.fromkeys((*settings, *old))
        if old.get(key) != settings.get(key)
    ]
    if differ:
        raise RecipeError(f"{begun} was begun with other settings, which differ in {', '.join(differ)}; {remedy}")


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
