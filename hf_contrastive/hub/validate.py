"""Whether a card and a folder are fit for strangers; without a network."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from hf_contrastive.errors import CheckpointError

TOKEN = re.compile(r"hf_[A-Za-z0-9]{30,}")
_FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
_WANTED = ("library_name", "pipeline_tag", "tags")


def front_matter(content: str) -> dict[str, Any]:
    """What a card says between its first two lines of ---; empty without them."""
    match = _FRONT_MATTER.match(content)
    return dict(yaml.safe_load(match[1])) if match else {}


def validate_card(content: str, folder: Path) -> None:
    """Check front matter, model-index and pictures of a card, and that it says nothing of this machine.

    Args:
        content: the whole `README.md`.
        folder: where the pictures it shows lie.

    Raises:
        CheckpointError: names what is wrong.
    """
    where = folder / "README.md"
    if _FRONT_MATTER.match(content) is None:
        raise CheckpointError(f"{where}: no front matter between two lines of ---")
    try:
        meta = front_matter(content)
        ModelCard(content)  # reads every key as the Hub's client does
        if "model-index" in meta:
            for result in model_index_to_eval_results(meta["model-index"])[1]:
                if not isinstance(result.metric_value, (int, float)):
                    raise ValueError(f"model-index: {result.metric_type} is {result.metric_value!r}, no number")
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where}: front matter cannot be read ({error})") from error
    for key in _WANTED:
        if not meta.get(key):
            raise CheckpointError(f"{where}: front matter has no {key}")
    for picture in linked_files(content, pictures=True):
        if not (folder / picture).is_file():
            raise CheckpointError(f"{where}: shows {picture}, which is not there")
    check_private(content, "README.md", folder)


def linked_files(content: str, pictures: bool = False) -> list[str]:
    """What a card links by a path inside its folder, in Markdown or HTML; `pictures`: only what it shows."""
    kinds = ("!", "src") if pictures else ("", "(?:src|href)")
    found = re.findall(rf"{kinds[0]}\[[^\]]*\]\(<?([^)>\s]+)", content)
    found += re.findall(rf"""{kinds[1]}=["']([^"']+)""", content)
    return [unquote(target.partition("#")[0]) for target in found if "://" not in target]


def check_private(content: str, name: str, folder: Path) -> None:
    """Raise `CheckpointError` where a text holds a token, or a path below somebody's home, this folder or this one's.

    Args:
        content: of the file.
        name: of the file, for the message.
        folder: the model folder.
    """
    if TOKEN.search(content):
        raise CheckpointError(f"{folder / name}: holds what looks like a Hub token; take it out, and revoke the token")
    for place in {Path.home(), Path.cwd(), folder.resolve(), folder.resolve().parent}:
        if len(place.parts) > 1 and re.search(rf"{re.escape(str(place))}(?![\w-])", content):
            raise CheckpointError(f"{folder / name}: holds the path {place} of this machine; take it out")
    found = re.search(r"(?<![\w/.])/(?:home|Users)/[\w.-]+", content)
    if found:
        raise CheckpointError(f"{folder / name}: holds the path {found[0]}; take it out")
