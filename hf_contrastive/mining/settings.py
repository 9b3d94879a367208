"""What `hf-contrastive mine` can be told, checked before anything is loaded."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hf_contrastive.arguments import POOLERS, one_of
from hf_contrastive.errors import RecipeError
from hf_contrastive.mining.filters import Rules

INDEXES = ("auto", "flat", "ivf")
FORMATS = (".parquet", ".jsonl")


@dataclass(frozen=True)
class MiningSettings:
    """One mining run.

    Args:
        data: file, glob or Hub name with plain sentences or pairs.
        model: folder or Hub name of the encoder.
        output: `.parquet` or `.jsonl` file, or a folder, which gets `mined.parquet`.
        rules: which candidates become negatives.
        anchor, positive: columns of `data`; default: recognised by their names, as in training.
        corpus: file or Hub name that candidates come from; default: the positives of `data`, or its sentences.
        corpus_column: column of `corpus`; default: recognised.
        data_name, split: of a Hub dataset.
        max_rows: only the first rows of `data`.
        pooler, max_length: default: what the model's own files say.
        batch_size: sentences at a time.
        bf16: encode under bfloat16 autocast.
        device: default: the first accelerator, else the CPU; with several processes, each its own.
        revision: branch, tag or commit of the model on the Hub.
        index: `flat` compares with every candidate, `ivf` with the nearest lists; `auto` by number of candidates.
        nprobe: lists that `ivf` looks into.
        shard_size: sentences a file of the work folder: what is lost when a process is killed.

    Raises:
        RecipeError: a setting that cannot be used.
    """

    data: str
    model: str
    output: Path
    rules: Rules = field(default_factory=Rules)
    anchor: str | None = None
    positive: str | None = None
    corpus: str | None = None
    corpus_column: str | None = None
    data_name: str | None = None
    split: str = "train"
    max_rows: int | None = None
    pooler: str | None = None
    max_length: int | None = None
    batch_size: int = 64
    bf16: bool = False
    device: str | None = None
    revision: str = "main"
    index: str = "auto"
    nprobe: int = 32
    shard_size: int = 8192

    def __post_init__(self) -> None:
        one_of("index", self.index, INDEXES)
        if self.pooler is not None:
            one_of("pooler", self.pooler, POOLERS)
        if self.positive is not None and self.anchor is None:
            raise RecipeError("positive: needs anchor beside it; name both columns")
        if self.corpus_column is not None and self.corpus is None:
            raise RecipeError("corpus_column: needs corpus beside it; name the file that has the column")
        for key in ("batch_size", "nprobe", "shard_size"):
            if getattr(self, key) < 1:
                raise RecipeError(f"{key}: must be positive, got {getattr(self, key)}")
        if self.max_length is not None and self.max_length < 3:
            raise RecipeError(f"max_length: must be at least 3 tokens, got {self.max_length}")
        if self.device is not None:
            try:
                torch.device(self.device)
            except RuntimeError as error:
                raise RecipeError(f"device: {self.device!r} is none; say cpu, cuda or cuda:1") from error

    @property
    def file(self) -> Path:
        """The file that is written.

        Raises:
            RecipeError: a suffix that is not known.
        """
        if self.output.suffix.lower() in FORMATS and not self.output.is_dir():
            return self.output
        if self.output.is_dir() or not self.output.suffix:
            return self.output / "mined.parquet"
        raise RecipeError(f"output: {self.output} is neither a folder nor one of *{', *'.join(FORMATS)}")

    @property
    def work(self) -> Path:
        """Folder of vectors and search results, beside the file."""
        return self.file.with_name(self.file.name + ".work")

    def search_keys(self, index: str) -> dict[str, Any]:
        """What decides the search, beside the vectors; `index` as `auto` was resolved."""
        return {**vars(self.rules), "index": index, "nprobe": self.nprobe if index == "ivf" else None}


def check_output(settings: MiningSettings) -> None:
    """Refuse an output that cannot be written, or that something else has written.

    Raises:
        RecipeError: names the file and what to do.
    """
    file = settings.file
    if file.exists() and not settings.work.is_dir():
        raise RecipeError(f"output: {file} exists and was not begun here; choose another --output or delete it")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".writable-"):
            pass
    except OSError as error:
        raise RecipeError(f"output: {file.parent} cannot be written ({error.strerror}); choose another") from error
