"""Commands as they are printed: every program, option, recipe, recipe key and extra in them must exist."""

import re
import tomllib
from pathlib import Path
from typing import Any

import typer
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from click.testing import CliRunner
from doc_blocks import ROOT
from typer.main import get_command

from hf_contrastive.cli import app
from hf_contrastive.recipe import Recipe, load_recipe, recipe_keys

ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
TASKS = ("sentences", "words", "graph", "hypernymy")
# What a recipe may leave to the command line.
REQUIRED = {"model_name_or_path": "model", "train_data": "data"}


def without_assignments(words: list[str]) -> list[str]:
    """A command without the variables that are set for it alone."""
    first = next((place for place, word in enumerate(words) if not ASSIGNMENT.fullmatch(word)), len(words))
    for word in words[:first]:
        check_variable(word)
    return words[first:]


def check(words: list[str], page: Path) -> None:
    """Raise unless everything that a command names is there.

    Args:
        words: of the command.
        page: that prints it.
    """
    program, *rest = without_assignments(words)
    match program:
        case "hf-contrastive":
            check_ours(rest, page)
        case "accelerate":
            check_launch(rest, page)
        case "python":
            check_script(rest)
        case "pip":
            check_extras(rest)
        case "make":
            check_make(rest)
        case "export":
            for word in rest:
                check_variable(word)
        case "sbatch":
            assert (ROOT / rest[0]).is_file(), rest[0]
        case "hf":
            from huggingface_hub.cli.hf import app as hub

            # Its commands are loaded when they are asked for; unknown options are noticed before --help is.
            done = CliRunner().invoke(get_command(hub) if isinstance(hub, typer.Typer) else hub, [*rest, "--help"])
            assert done.exit_code == 0, f"hf: {done.output}"
        case "mteb":
            from mteb.cli.build_cli import build_cli

            build_cli().parse_args(rest)
        case _:
            raise AssertionError(f"{program}: say in tests/doc_commands.py what is to be checked of it")


def check_ours(words: list[str], page: Path) -> None:
    """A command of `hf-contrastive`; of `train` its recipe and overrides too."""
    if words[0] != "train" or len(words) == 1:
        parse(get_command(app), words)
        return
    context = parse(get_command(app).commands["train"], words[1:])
    launcher = context.params["accelerate_config"]
    assert launcher is None or launcher.name == "FILE" or (ROOT / launcher).is_file(), launcher
    check_recipe(str(context.params["recipe"]), context.args, page)


def parse(command: Any, words: list[str], parent: Any = None) -> Any:
    """Follow the words to the last group's command and let it parse the rest, without running it."""
    if not hasattr(command, "commands"):
        return command.make_context(command.name, list(words), parent=parent)
    context = type(command).context_class(command, info_name=command.name, parent=parent)
    chosen = command.get_command(context, words[0])
    assert chosen is not None, f"no command {words[0]!r} in {', '.join(command.list_commands(context))}"
    if len(words) == 1:  # the name alone: `hf-contrastive mine`
        return None
    return parse(chosen, words[1:], context)


def check_launch(words: list[str], page: Path) -> None:
    """`accelerate launch` with its configuration; behind it a recipe or a command of ours."""
    assert words[0] == "launch", words
    bare = "-m" not in words
    given = launch_command_parser().parse_args([*words[1:], *(["script"] if bare else [])])
    if given.config_file is not None:
        load_config_from_file(str(ROOT / given.config_file))
    if bare:
        return
    recipe, *rest = given.training_script_args
    if given.training_script == "hf_contrastive.cli":
        check_ours([recipe, *rest], page)
    else:
        assert given.training_script == "hf_contrastive.train", given.training_script
        check_recipe(recipe, rest, page)


def check_recipe(recipe: str, overrides: list[str], page: Path) -> None:
    """A recipe that loads with these overrides; RECIPE stands for any, and `--key value` for any key."""
    if recipe == "RECIPE":
        keys = {word.removeprefix("--") for word in overrides if word.startswith("--")}
        assert keys - {"key"} <= set(recipe_keys()), keys
        return
    found = [path for path in (ROOT / recipe, page.parent / recipe, Path(recipe)) if path.is_file()]
    assert found, f"no recipe {recipe}"
    load(found[0], overrides)


def load(path: Path, overrides: list[str]) -> Recipe:
    """A recipe with what it leaves to the command line."""
    given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    named = {word.removeprefix("--").partition("=")[0] for word in overrides if word.startswith("--")} | set(given)
    missing = [key for key in REQUIRED if key in recipe_keys(given.get("task", "sentences")) and key not in named]
    more = [word for key in missing for word in (f"--{key}", REQUIRED[key])]
    return load_recipe(path, [*overrides, *more, "--use_cpu", "true", "--output_dir", "runs/printed"])


def check_script(words: list[str]) -> None:
    """A script of the repository, and options that it or what it imports from its folder has."""
    script, *rest = words
    if script == "-m":
        raise AssertionError("python -m: say in tests/doc_commands.py what is to be checked of it")
    path = ROOT / script
    assert path.is_file(), script
    texts = [path.read_text(encoding="utf-8")]
    for module in re.findall(r"^(?:from|import) (\w+)", texts[0], re.MULTILINE):
        beside = path.with_name(f"{module}.py")
        texts += [beside.read_text(encoding="utf-8")] if beside.is_file() else []
    options, _, overrides = " ".join(rest).partition("-- ")
    for option in re.findall(r"--([\w-]+)", options):
        there = rf'"--{option}"|\b{option.replace("-", "_")}: '
        assert any(re.search(there, text) for text in texts), f"{script} has no option --{option}"
    every = set().union(*(recipe_keys(task) for task in TASKS))
    assert {key for key in re.findall(r"--(\w+)", overrides)} <= every, overrides


def check_extras(words: list[str]) -> None:
    """`pip install` of this project, with extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, extras in re.findall(r"(\.|hf-contrastive)\[([\w,-]+)\]", " ".join(words)):
        missing = set(extras.split(",")) - set(project["optional-dependencies"])
        assert not missing, f"{name}: no extras {missing}"


def check_make(words: list[str]) -> None:
    """A target of the Makefile, variables that it reads, and in ARGS keys of the quickstart's recipe."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        variable, equals, value = word.partition("=")
        if not equals:
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), f"make has no target {word}"
        elif variable == "ARGS":
            load(ROOT / "examples/quickstart/recipe.yaml", value.split())
        else:
            assert f"$({variable})" in makefile, f"make reads no {variable}"


def check_variable(assignment: str) -> None:
    """An environment variable that something here reads."""
    variable = assignment.partition("=")[0]
    sources = [*(ROOT / "hf_contrastive").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert any(variable in path.read_text(encoding="utf-8") for path in sources), f"nothing reads {variable}"
