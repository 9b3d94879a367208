"""What `hf-contrastive encode` and `hf-contrastive search` can be told, checked before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path

import torch

from hf_contrastive.arguments import one_of
from hf_contrastive.errors import RecipeError
from hf_contrastive.retrieval.vectors import check_model_options
from hf_contrastive.retrieval.work import output_file, work_folder

VECTOR_FORMATS = (".parquet", ".npy")
RESULT_FORMATS = (".tsv", ".jsonl", ".parquet")
DTYPES = ("float32", "float16")
INDEXES = ("auto", "flat", "ivf", "hnsw")


def default_batch_tokens(device: torch.device) -> int:
    """Tokens a batch: what keeps an accelerator busy, and on a CPU what stays in its caches."""
    return 1024 if device.type == "cpu" else 32_768


@dataclass(frozen=True)
class EncodeSettings:
    """One run of `encode`.

    Args:
        data: file, glob or Hub name.
        model: folder or Hub name of the encoder.
        output: `.parquet` or `.npy` file, or a folder, which gets `vectors.parquet`.
        columns: that hold the text, joined by a space; default: recognised.
        id_column: column of ids; without it a row goes by its number, from 0.
        data_name, split: of a Hub dataset.
        max_rows: only the first rows of `data`.
        text: whether the Parquet file has the texts too; default: yes in Parquet, which has room for them.
        dtype: `float32` or `float16` of the vectors.
        normalize: unit vectors; default: what the model's own files say.
        pooler, max_length: default: what the model's own files say.
        batch_tokens: tokens at a time, padding included; default: by device.
        bf16: encode under bfloat16 autocast.
        device: default: the first accelerator, else the CPU; with several processes, each its own.
        revision: branch, tag or commit of the model on the Hub.
        shard_size: texts a file of the work folder: what is sorted by length, and what is lost when a process is
            killed.

    Raises:
        RecipeError: a setting that cannot be used.
    """

    data: str
    model: str
    output: Path
    columns: tuple[str, ...] = ()
    id_column: str | None = None
    data_name: str | None = None
    split: str = "train"
    max_rows: int | None = None
    text: bool | None = None
    dtype: str = "float32"
    normalize: bool | None = None
    pooler: str | None = None
    max_length: int | None = None
    batch_tokens: int | None = None
    bf16: bool = False
    device: str | None = None
    revision: str = "main"
    shard_size: int = 8192

    def __post_init__(self) -> None:
        one_of("dtype", self.dtype, DTYPES)
        check_model_options(self.pooler, self.max_length, self.device)
        check_positive(self, "batch_tokens", "shard_size", "max_rows")
        if self.file.suffix.lower() == ".npy":
            for key, given in (("text", self.text), ("id_column", self.id_column)):
                if given:
                    raise RecipeError(f"{key}: {self.file.name} has room for vectors alone; write .parquet")

    @property
    def file(self) -> Path:
        """The file that is written; `RecipeError` for a suffix that is not known."""
        return output_file(self.output, "vectors.parquet", VECTOR_FORMATS)

    @property
    def work(self) -> Path:
        """Folder of the shards, beside the file; deleted when the file is whole."""
        return work_folder(self.file)

    @property
    def keeps_text(self) -> bool:
        """Whether the file has the texts."""
        return self.file.suffix.lower() == ".parquet" if self.text is None else self.text


@dataclass(frozen=True)
class SearchSettings:
    """One run of `search`.

    Args:
        corpus: what `encode` wrote (file or folder), or texts to encode first: file, glob or Hub name.
        model: encodes queries, and texts; default: the model that `encode` wrote down.
        queries: texts, or what `encode` wrote; None asks for them one by one.
        output: `.tsv`, `.jsonl` or `.parquet` file of the results.
        k: results a query.
        index: `flat` compares with every text, `ivf` with the nearest lists, `hnsw` goes along a graph; `auto`: `flat`
            up to 50,000 texts, else `ivf`.
        nprobe: lists that `ivf` looks into; default 32.
        ef_search: candidates that `hnsw` keeps open on its way; default 128.
        columns, id_column: of texts that are encoded first.
        query_columns, query_id_column: of the queries.
        pooler, max_length, batch_tokens, bf16, device: as in `EncodeSettings`.
        revision: of the model on the Hub; default: what `encode` wrote down with the model, else main.

    Raises:
        RecipeError: a setting that cannot be used.
    """

    corpus: str
    model: str | None = None
    queries: str | None = None
    output: Path | None = None
    k: int = 10
    index: str = "auto"
    nprobe: int | None = None
    ef_search: int | None = None
    columns: tuple[str, ...] = ()
    id_column: str | None = None
    query_columns: tuple[str, ...] = ()
    query_id_column: str | None = None
    pooler: str | None = None
    max_length: int | None = None
    batch_tokens: int | None = None
    bf16: bool = False
    device: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        one_of("index", self.index, INDEXES)
        check_model_options(self.pooler, self.max_length, self.device)
        check_positive(self, "k", "nprobe", "ef_search", "batch_tokens")
        for key, kind in (("nprobe", "ivf"), ("ef_search", "hnsw")):
            if getattr(self, key) is not None and self.index != kind:
                raise RecipeError(f"{key}: belongs to index {kind}, not {self.index}; choose --index {kind}")
        if (self.queries is None) != (self.output is None):
            raise RecipeError("queries: and output go together; give both, or neither to be asked for queries")
        if self.output is not None and self.output.suffix.lower() not in RESULT_FORMATS:
            raise RecipeError(f"output: {self.output} is none of *{', *'.join(RESULT_FORMATS)}")
        for key in ("query_columns", "query_id_column"):
            if getattr(self, key) and self.queries is None:
                raise RecipeError(f"{key}: needs queries beside it; name the file that has the column")


def check_positive(settings: object, *keys: str) -> None:
    """Raise `RecipeError` for a number below 1; None passes."""
    for key in keys:
        value = getattr(settings, key)
        if value is not None and value < 1:
            raise RecipeError(f"{key}: must be positive, got {value}")
