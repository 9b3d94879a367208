"""What `hf-contrastive mine` can be told, checked before anything is loaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_contrastive.arguments import one_of
from hf_contrastive.errors import RecipeError
from hf_contrastive.mining.filters import Rules
from hf_contrastive.retrieval.vectors import check_model_options
from hf_contrastive.retrieval.work import check_writable, output_file, work_folder

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
        if self.positive is not None and self.anchor is None:
            raise RecipeError("positive: needs anchor beside it; name both columns")
        if self.corpus_column is not None and self.corpus is None:
            raise RecipeError("corpus_column: needs corpus beside it; name the file that has the column")
        for key in ("batch_size", "nprobe", "shard_size"):
            if getattr(self, key) < 1:
                raise RecipeError(f"{key}: must be positive, got {getattr(self, key)}")
        check_model_options(self.pooler, self.max_length, self.device)

    @property
    def file(self) -> Path:
        """The file that is written.

        Raises:
            RecipeError: a suffix that is not known.
        """
        return output_file(self.output, "mined.parquet", FORMATS)

    @property
    def work(self) -> Path:
        """Folder of vectors and search results, beside the file."""
        return work_folder(self.file)

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
    check_writable(file)
