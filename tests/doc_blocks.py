"""What the Markdown pages say to be code: fenced blocks, and commands in running text."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("**/README.md")),
    ROOT / "benchmarks" / "README.md",
]
PROGRAMS = ("hf-contrastive", "accelerate", "python", "make", "hf", "mteb", "sbatch", "pip")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(rf"(?<!`)`((?:{'|'.join(PROGRAMS)}) [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: path of its page from the root.
        line: of its fence, counted from 1.
        language: behind the fence.
        text: inside.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


def name(page: Path) -> str:
    """Path from the root."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(name(page), text[: match.start()].count("\n") + 1, match[1], match[2]) for match in _FENCE.finditer(text)
    ]
    assert 2 * len(found) == len(re.findall(r"^\s*```", text, re.MULTILINE)), f"{page}: a fence without its partner"
    return found


def commands(shell: str) -> list[list[str]]:
    """The words of each command; comments left out, lines that end in a backslash joined."""
    lines = shell.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def inline_commands(page: Path) -> list[list[str]]:
    """Commands between single backticks."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [shlex.split(match[1]) for match in _INLINE.finditer(text)]
