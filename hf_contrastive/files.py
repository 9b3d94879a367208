"""Files that are UTF-8 or refused, and that a kill cannot leave half written."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_contrastive.errors import DataError


def utf8_lines(content: bytes, path: Path) -> list[str]:
    """The lines of a file's content; only a line feed ends one, as in an editor, and a byte order mark is left out.

    Raises:
        DataError: not UTF-8; names `path`.
    """
    try:
        return content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; convert it, e.g. with iconv -t UTF-8") from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` at the end: a kill leaves no half of it, and no reader sees one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    yield partial
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as a whole file."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
