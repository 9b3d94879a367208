"""Commands in this process: what they print, the cells of their tables, what they refuse."""

from typer.testing import CliRunner

from hf_contrastive.cli import app

WIDE = {"COLUMNS": "300"}


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=WIDE)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output


def refused(*arguments: object) -> str:
    """What is said; an error of ours or of the parser, not one that got away."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=WIDE)
    assert done.exit_code in (1, 2) and isinstance(done.exception, SystemExit), done.exception
    return done.output


def rows(printed: str) -> list[list[str]]:
    """Cells of the body of a table."""
    lines = [line for line in printed.split("\n") if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
