"""Where evaluation data is read from: what the recipe names, else `HF_CONTRASTIVE_DATA`, else the Hub."""

import os
from pathlib import Path
from typing import NamedTuple

from hf_contrastive.arguments import EvaluationArguments
from hf_contrastive.errors import DataError
from hf_contrastive.evaluation.retrieval_data import is_retrieval_folder

DATA_VARIABLE = "HF_CONTRASTIVE_DATA"


class HubSplit(NamedTuple):
    """A split of a Hub dataset."""

    name: str
    split: str

    def __str__(self) -> str:
        return f"{self.name}[{self.split}]"


def resolve_sts_source(sts_data: str | None) -> Path | None:
    """Folder of the STS files: `sts_data`, else `$HF_CONTRASTIVE_DATA/sts`, else `None` for the Hub.

    Raises:
        DataError: a folder was named and is not there.
    """
    return _resolve_folder("sts_data", sts_data, "sts", "unset it to load STS from the Hub")


def resolve_dev_source(args: EvaluationArguments) -> Path | HubSplit:
    """Pairs that choose the checkpoint: `dev_data`, else the STS folder's STSB-dev.tsv, else the Hub's STS-B dev.

    Raises:
        DataError: a file or folder was named and is not there.
    """
    if args.dev_data is not None:
        if not Path(args.dev_data).is_file():
            raise DataError(f"dev_data: no file {args.dev_data}; name a table with score, sentence1, sentence2")
        return Path(args.dev_data)
    folder = resolve_sts_source(args.sts_data)
    return folder / "STSB-dev.tsv" if folder else HubSplit("mteb/stsbenchmark-sts", "validation")


def resolve_transfer_folder(transfer_data: str | None) -> Path:
    """Folder of the transfer tasks: `transfer_data`, else `$HF_CONTRASTIVE_DATA/transfer`.

    Raises:
        DataError: neither is set, or the folder is not there.
    """
    remedy = "set transfer_data to the folder that SentEval's get_transfer_data.bash makes"
    folder = _resolve_folder("transfer_data", transfer_data, "transfer", remedy)
    if folder is None:
        raise DataError(f"transfer_data: not set, and neither is {DATA_VARIABLE}; {remedy}")
    return folder


def resolve_retrieval_folders(retrieval_data: str | None) -> dict[str, Path]:
    """Collections in BEIR's layout, by name: `retrieval_data`, or those in it; else `$HF_CONTRASTIVE_DATA/retrieval`.

    Raises:
        DataError: neither is set, or there is no collection.
    """
    remedy = "set retrieval_data to a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv, or a folder of those"
    folder = _resolve_folder("retrieval_data", retrieval_data, "retrieval", remedy)
    if folder is None:
        raise DataError(f"retrieval_data: not set, and neither is {DATA_VARIABLE}; {remedy}")
    candidates = [folder] if is_retrieval_folder(folder) else sorted(folder.iterdir())
    folders = {path.resolve().name: path for path in candidates if path.is_dir() and is_retrieval_folder(path)}
    if not folders:
        raise DataError(f"retrieval_data: {folder} has no collection in BEIR's layout; {remedy}")
    return folders


def _resolve_folder(key: str, given: str | None, name: str, remedy: str) -> Path | None:
    if given is not None:
        if not Path(given).is_dir():
            raise DataError(f"{key}: no folder {given}; {remedy}")
        return Path(given)
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        return None
    if not (Path(root) / name).is_dir():
        raise DataError(f"{DATA_VARIABLE}: {root} has no folder {name}; set {key}, or {remedy}")
    return Path(root) / name
