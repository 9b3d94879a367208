"""Training data under the canonical names `anchor`, `positive`, `negatives`, `label`, from local files or the Hub."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, IterableDataset, load_dataset
from datasets.exceptions import DatasetGenerationError

from hf_contrastive import __version__
from hf_contrastive.arguments import DataArguments
from hf_contrastive.data.columns import Columns, canonical_row, choose_columns, quoted
from hf_contrastive.data.files import KNOWN_SUFFIXES, column_names, find_files, read_rows
from hf_contrastive.data.hub import asking_the_hub
from hf_contrastive.data.labels import NLI_LABELS, label_names, without_unlabelled
from hf_contrastive.errors import DataError

logger = logging.getLogger(__name__)


def load_training_data(args: DataArguments) -> Dataset | IterableDataset:
    """Loads and checks the rows that `args.train_data` names.

    A local file or glob is read by `hf_contrastive.data.files`, anything else is asked of the Hub. A table is checked
    as a whole and cached by `datasets` under the files' paths, sizes and times of change, so the next run finds it; a
    stream (`args.streaming`) is checked as it goes.

    Returns:
        Columns `anchor` (text), `positive` (text) where mapped, `negatives` (list of texts, as many as the row has)
        where mapped, `label` (ClassLabel) where mapped; rows without a class are left out.

    Raises:
        DataError: the data is not there, or a column or a row cannot be trained on.
    """
    if is_local(args.train_data):
        dataset, columns = _from_files(args)
    else:
        dataset, columns = _from_hub(args)
    if args.max_train_rows is not None:
        dataset = first_rows(dataset, args.max_train_rows, "max_train_rows")
    dataset = without_unlabelled(dataset)
    if isinstance(dataset, Dataset):
        logger.info("%s: %s rows", args.train_data, f"{len(dataset):,}")
        if columns.negatives:
            _log_absent_negatives(dataset, columns)
    return dataset


def is_local(train_data: str) -> bool:
    """Whether it names a file: it exists, has a file's suffix or a pattern in it, or is spelt like a path."""
    return (
        Path(train_data).expanduser().exists()
        or train_data.startswith((".", "/", "~"))
        or train_data.lower().endswith(KNOWN_SUFFIXES)
        or any(character in train_data for character in "*?[")
    )


def check_enough_rows(dataset: Dataset | IterableDataset, batch_size: int, world_size: int) -> None:
    """Raise `DataError` if the rows do not fill one batch on every device: the ragged last batch is dropped.

    A stream has no length and passes.
    """
    needed = batch_size * world_size
    if isinstance(dataset, IterableDataset) or len(dataset) >= needed:
        return
    rows, largest = len(dataset), len(dataset) // world_size
    remedy = f"set per_device_train_batch_size to {largest} or less, or add rows" if largest else "add rows"
    raise DataError(
        f"train_data: {rows:,} rows do not fill one global batch of {needed:,} ({batch_size:,} a device on "
        f"{world_size} devices), so nothing would be trained; {remedy}"
    )


def _from_files(args: DataArguments) -> tuple[Dataset | IterableDataset, Columns]:
    paths = find_files(args.train_data)
    columns = _choose(args, column_names(paths[0]), str(paths[0]), None)
    if args.streaming:
        # A list is what `datasets` shards across workers and ranks, file by file.
        shards = {"files": [str(path) for path in paths], "columns": columns}
        return IterableDataset.from_generator(_read, features=columns.features, gen_kwargs=shards), columns
    return cached_from_files(_read_stamped, paths, columns.features, {"columns": columns}), columns


def cached_from_files(
    read: Callable[..., Iterator[dict[str, Any]]], paths: Sequence[Path], features: Features, given: dict[str, Any]
) -> Dataset:
    """Rows that `read(files, stamps, **given)` yields, cached until one of the files changes.

    Raises:
        DataError: as `read` raised it.
    """
    files = tuple(str(path) for path in paths)
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    try:
        return Dataset.from_generator(
            read, features=features, gen_kwargs={"files": files, "stamps": (__version__, *stamps), **given}
        )
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, DataError):
            raise error.__cause__ from None
        raise


def _read(files: Sequence[str], columns: Columns) -> Iterator[dict[str, Any]]:
    for file in files:
        for where, record in read_rows(Path(file), columns.names):
            yield canonical_row(record, columns, where)


def _read_stamped(files: Sequence[str], columns: Columns, stamps: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """`stamps` is not read: it makes the cache key change with the files."""
    return _read(files, columns)


def _from_hub(args: DataArguments) -> tuple[Dataset | IterableDataset, Columns]:
    dataset = load_from_hub(args)
    present = dataset.column_names or list(next(iter(dataset)))
    columns = _choose(args, present, args.train_data, dataset.features)
    return _under_canonical_names(dataset, columns, args.train_data), columns


def load_from_hub(args: DataArguments) -> Dataset | IterableDataset:
    """The dataset as the Hub has it.

    Raises:
        DataError: the Hub does not give it.
    """
    missing = f"train_data: {args.train_data!r} is no local file"
    with asking_the_hub(missing, "the path or the name, its train_data_name, train_data_files or train_split"):
        return load_dataset(
            args.train_data,
            args.train_data_name,
            data_files=args.train_data_files,
            split=args.train_split,
            streaming=args.streaming,
        )


def canonical_dataset(dataset: Dataset | IterableDataset, present: Sequence[str]) -> Dataset | IterableDataset:
    """A dataset of your own, its cells checked, under the canonical names; its columns go by their usual names.

    Args:
        dataset: rows of text.
        present: its columns.

    Raises:
        DataError: no known column names, or a cell that cannot be used; names column and row.
    """
    labels = label_names(dataset.features)
    if set(present) == {"anchor", "positive", "negatives"}:  # what `load_training_data` gives
        return dataset
    if set(present) == {"anchor", "positive", "label"} and labels is not None:  # so too
        return without_unlabelled(dataset)
    columns = choose_columns(None, present, "train_dataset", labels or NLI_LABELS)
    return without_unlabelled(_under_canonical_names(dataset, columns, "train_dataset"))


def _under_canonical_names(
    dataset: Dataset | IterableDataset, columns: Columns, name: str
) -> Dataset | IterableDataset:
    options = {} if isinstance(dataset, IterableDataset) else {"desc": "Checking rows"}
    return dataset.select_columns(columns.names).map(
        _check_batch,
        batched=True,
        with_indices=True,
        remove_columns=columns.names,
        features=columns.features,
        fn_kwargs={"columns": columns, "name": name},
        **options,
    )


def _check_batch(batch: dict[str, list[Any]], indices: list[int], columns: Columns, name: str) -> dict[str, list[Any]]:
    rows = [
        canonical_row(dict(zip(batch, cells, strict=True)), columns, f"{name}, row {index} (counted from 0)")
        for index, cells in zip(indices, zip(*batch.values(), strict=True), strict=True)
    ]
    return {column: [row[column] for row in rows] for column in columns.features}


def _choose(args: DataArguments, present: Sequence[str], source: str, features: Features | None) -> Columns:
    column = (args.column_mapping or {}).get("label", "label")
    labels = tuple(args.labels or label_names(features, column) or NLI_LABELS)
    columns = choose_columns(args.column_mapping, present, source, labels)
    if columns.label is not None:
        pair = (columns.anchor, columns.positive, columns.label, quoted(labels))
        logger.info("%s: pairs of %r and %r, label %r, one of %s", source, *pair)
        return columns
    if args.labels is not None:
        raise DataError(
            f"{source}: labels names classes, and no column of labels is read; name it, "
            "`columns: {sentence1: ..., sentence2: ..., label: ...}`, or leave labels out"
        )
    logger.info(
        "%s: anchor %r, positive %s, hard negatives %s",
        source,
        columns.anchor,
        repr(columns.positive) if columns.positive else "by dropout",
        quoted(columns.negatives) or "none",
    )
    return columns


def first_rows(dataset: Dataset | IterableDataset, count: int, key: str) -> Dataset | IterableDataset:
    """The first rows; what is left out is logged under the name of the setting."""
    if isinstance(dataset, IterableDataset):
        logger.info("%s: the stream ends after %s rows", key, f"{count:,}")
        return dataset.take(count)
    if len(dataset) <= count:
        return dataset
    left_out = len(dataset) - count
    logger.info("%s: the first %s rows are used, %s are left out", key, f"{count:,}", f"{left_out:,}")
    return dataset.select(range(count))


def _log_absent_negatives(dataset: Dataset, columns: Columns) -> None:
    lists = dataset.select_columns("negatives").with_format("arrow")[:]["negatives"]
    cells = len(dataset) * len(columns.negatives)
    absent = cells - sum(len(chunk.flatten()) for chunk in lists.chunks)
    if absent:
        logger.info("%s of %s hard negatives are empty and left out", f"{absent:,}", f"{cells:,}")
