"""Every code block of README, docs, examples and benchmarks works: it is run, or what it names is looked up.

A page's blocks run in their order, in one folder that holds tiny stand-ins under the names the page uses, and Python
blocks share their names. Every command is parsed (`tests/doc_commands.py`), those in running text too; `NOT_RUN` says
which commands of blocks are only parsed, and why. Recipes and parts of them are loaded; drawings must have their form.
"""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset
from doc_blocks import PAGES, Block, blocks, commands, inline_commands, name
from doc_commands import TASKS, check, load, without_assignments
from typer.testing import CliRunner

from hf_contrastive.augmentations import build_augmentation
from hf_contrastive.augmentations import registry as augmentations
from hf_contrastive.cli import app
from hf_contrastive.data import word_tokenizers
from hf_contrastive.negatives import build_negatives
from hf_contrastive.negatives import registry as samplers
from hf_contrastive.recipe import recipe_keys
from hf_contrastive.training.build import with_known_pairs

# Commands of ours that are run, on the stand-ins.
RUN = "augmentations encode evaluate graph hypernymy keys look mine onnx samplers search whiten words".split()
# What is only looked up, and why: commands of ours, or options; other programs.
NOT_RUN = {
    "train": "takes minutes; its recipe is loaded with these overrides",
    "card": "wants several finished runs",
    "publish": "sends a model to the Hub",
    "--mteb": "downloads MTEB's data",
}
OTHERS = {
    "accelerate": "starts processes",
    "python": "a benchmark, a server or the quickstart, which takes minutes",
    "make": "installs an environment",
    "pip": "installs packages",
    "hf": "talks to the Hub",
    "mteb": "another package's command",
    "sbatch": "wants a cluster",
    "export": "sets a variable of the shell",
}
TYPED = {"search": "a dog sleeps\n\n"}  # what is typed when a command asks


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """What a page registers is gone after it."""
    modules = (samplers, augmentations, word_tokenizers)
    before = [(module._REGISTRY, dict(module._REGISTRY)) for module in modules]
    yield
    for registry, known in before:
        registry.clear()
        registry.update(known)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_of_a_page(page: Path, workspace: Path) -> None:
    names = given_names(name(page), workspace)
    for block in blocks(page):
        with located(str(block)):
            assert block.language in CHECKS, f"a block in {block.language or 'no language'}: say how it is checked"
            CHECKS[block.language](block, page, names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_running_text(page: Path, workspace: Path) -> None:
    for words in inline_commands(page):
        with located(f"{name(page)}: {' '.join(words)}"):
            check(words, page)


@contextmanager
def located(where: str) -> Iterator[None]:
    """Says which block failed."""
    try:
        yield
    except BaseException as error:
        error.add_note(where)
        raise


def given_names(page: str, workspace: Path) -> dict[str, Any]:
    """What Python blocks of a page take for granted."""
    if page != "docs/sentence-transformers.md":
        return {}
    peer = pytest.importorskip("sentence_transformers")
    texts = (workspace / "sentences.txt").read_text(encoding="utf-8").splitlines()
    options = {"max_steps": 2, "per_device_train_batch_size": 8, "report_to": "none", "use_cpu": True}
    return {
        "SentenceTransformerTrainer": peer.SentenceTransformerTrainer,
        "model": peer.SentenceTransformer("MODEL", device="cpu"),
        "args": peer.SentenceTransformerTrainingArguments("runs/peer", **options),
        "dataset": Dataset.from_dict({"anchor": texts[:32], "positive": texts[32:64]}),
    }


def run_python(block: Block, page: Path, names: dict[str, Any]) -> None:
    exec(compile(block.text, str(block), "exec"), names)
    trainer = names.get("trainer")
    if trainer is not None and not trainer.state.global_step:
        trainer.train()
        assert trainer.state.global_step > 0


def run_bash(block: Block, page: Path, names: dict[str, Any]) -> None:
    for words in commands(block.text):
        with located(" ".join(words)):
            check(words, page)
            if why_not_run(words) is None:
                run(without_assignments(words)[1:])


def why_not_run(words: list[str]) -> str | None:
    """The reason; `None` for what is run."""
    program, *rest = without_assignments(words)
    if program != "hf-contrastive":
        return OTHERS[program]
    reason = next((NOT_RUN[word] for word in rest if word in NOT_RUN), None)
    assert reason or rest[0] in RUN, f"{rest[0]}: say in RUN or in NOT_RUN whether it is run"
    return None if rest[0] == "publish" and "--dry-run" in rest else reason


def run(words: list[str]) -> None:
    done = CliRunner().invoke(app, words, input=TYPED.get(words[0]))
    assert done.exit_code == 0, f"{done.output}{done.exception}"


def load_yaml(block: Block, page: Path, names: dict[str, Any]) -> None:
    for text in recipes_of(block.text):
        with located(text):
            given = yaml.safe_load(text)
            task = given.get("task") or next((each for each in TASKS if set(given) <= set(recipe_keys(each))), None)
            assert task, f"no task has the keys {', '.join(given)}"
            named = re.match(r"# (\w+\.yaml)\n", text)  # as which the page wants it to be saved
            path = Path(named[1] if named else "printed.yaml")
            path.write_text(f"{text}\n" if "task" in given else f"{text}\ntask: {task}\n", encoding="utf-8")
            recipe = load(path, [])
            build_negatives(with_known_pairs(recipe.negatives.sampler_configs), width=8)
            if getattr(recipe.data, "augmentation_config", None):
                build_augmentation(recipe.data.augmentation_config)


def recipes_of(text: str) -> list[str]:
    """The block as it is; where it shows a key several times, its entries one by one."""
    entries = yaml.compose(text).value
    keys = [key.value for key, _ in entries]
    if len(set(keys)) == len(keys):
        return [text]
    return [text[key.start_mark.index : value.end_mark.index] for key, value in entries]


def load_toml(block: Block, page: Path, names: dict[str, Any]) -> None:
    groups = tomllib.loads(block.text)["project"]["entry-points"]
    assert set(groups) <= {samplers._REGISTRY.group, augmentations._REGISTRY.group}


def check_drawing(block: Block, page: Path, names: dict[str, Any]) -> None:
    """A flowchart: each line is an arrow, a box, or begins or ends a group."""
    first, *lines = block.text.strip().splitlines()
    assert re.fullmatch(r"flowchart (LR|TD)", first)
    box = r'\w+(?:[\[({]+"[^"]+"[\])}]+)?'
    line = rf'(?:{box}(?: (?:-->|-\.->)(?:\|"[^"]+"\|)? {box})*|subgraph \w+ ?\["[^"]+"\]|end|direction \w+)'
    for each in lines:
        assert re.fullmatch(rf"\s*{line}", each), each


CHECKS = {"python": run_python, "bash": run_bash, "yaml": load_yaml, "toml": load_toml, "mermaid": check_drawing}


# --- the checks themselves notice what is wrong


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("hf-contrastive trian recipes/x.yaml", "no command 'trian'"),
        ("hf-contrastive encode a.txt MODEL --outptu v", "(?i)no such option"),
        ("hf-contrastive encode a.txt MODEL", "(?i)missing (option|parameter)"),
        ("hf-contrastive train recipes/nothing.yaml", "no recipe recipes/nothing.yaml"),
        ("hf-contrastive train recipes/simcse/unsup-bert-base.yaml --temperatur 1", "unknown key 'temperatur'"),
        ("hf-contrastive train RECIPE --temperatur 1", "temperatur"),
        ("accelerate launch -m hf_contrastive.train recipes/nothing.yaml", "no recipe"),
        ("accelerate launch --config_file recipes/accelerate/no.yaml -m hf_contrastive.train RECIPE", "no.yaml"),
        ("python benchmarks/nothing.py", "nothing.py"),
        ("python benchmarks/encode.py --nothing 1", "has no option --nothing"),
        ("pip install -e '.[petf]'", "no extras {'petf'}"),
        ("make tset", "no target tset"),
        ('make train ARGS="--max_step 1"', "unknown key 'max_step'"),
        ("export HF_CONTRASTIVE_DATE=x", "nothing reads HF_CONTRASTIVE_DATE"),
        ("HF_CONTRASTIVE_DATE=x hf-contrastive samplers", "nothing reads"),
        ("hf upload you/x . --tpye space", "hf: (.|\n)*--tpye"),
        ("curl x", "say in tests/doc_commands.py"),
    ],
)
def test_a_wrong_command_is_noticed(command: str, message: str) -> None:
    with pytest.raises(BaseException) as caught:
        check(commands(command)[0], PAGES[0])
    assert re.search(message, f"{caught.value} {getattr(caught.value, 'message', '')}"), caught.value


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("yaml", "negtives: in_batch\n", "no task has the keys negtives"),
        ("yaml", "negatives: in_bathc\n", "unknown sampler 'in_bathc'"),
        ("yaml", "negatives: in_batch\nnegatives: {name: queue, kk: 1}\n", "no option 'kk'"),
        ("yaml", "temperature: warm\n", "does not fit"),
        ("toml", '[project.entry-points."hf_contrastive.sampler"]\na = "b:C"\n', "hf_contrastive.sampler"),
        ("mermaid", "flowchart LR\na --> \n", "a -->"),
        ("python", "import hf_contrastive\nhf_contrastive.Nothing\n", "Nothing"),
        ("bash", "hf-contrastive words neighbours nowhere king\n", "nowhere"),
    ],
)
def test_a_wrong_block_is_noticed(workspace: Path, language: str, text: str, message: str) -> None:
    block = Block("page", 1, language, text)
    with pytest.raises(BaseException, match=re.escape(message)):
        CHECKS[language](block, PAGES[0], {})


def test_what_is_not_run_says_why() -> None:
    shell = [block for page in PAGES for block in blocks(page) if block.language == "bash"]
    printed = [(block, words) for block in shell for words in commands(block.text)]
    reasons = {f"{block}: {' '.join(words)}": why_not_run(words) for block, words in printed}
    print("\n".join(f"{command}: {reason or 'run'}" for command, reason in reasons.items()))
    assert list(reasons.values()).count(None) >= 20
