"""Tasks of the `mteb` package, run by that package on our encoder; mteb is imported when it is asked for."""

import importlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets.exceptions import DatasetsError
from torch import Tensor, nn
from xxhash import xxh3_64_hexdigest

from hf_contrastive.errors import DataError, RecipeError, did_you_mean
from hf_contrastive.evaluation.encoding import Encode
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.static_encoder import StaticEncoder
from hf_contrastive.retrieval.fingerprint import model_fingerprint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MTEBScore:
    """What mteb says of one task.

    Args:
        kind: of the task, as mteb calls it (STS, Retrieval, ...).
        metric: name of its main score.
        main_score: mean over splits and subsets, as mteb averages them.
        scores: all figures, by split; a list with an entry for each subset. `None`, here and in `main_score`, for what
            mteb could not compute.
        dataset_revision: commit of the task's dataset.
    """

    kind: str
    metric: str
    main_score: float | None
    scores: dict[str, list[dict[str, Any]]]
    dataset_revision: str


@dataclass(frozen=True)
class MTEBResult:
    """Scores by task, and the version of mteb that measured them."""

    scores: dict[str, MTEBScore]
    version: str


def load_mteb_tasks(tasks: Sequence[Any]) -> list[Any]:
    """mteb's tasks of these names; their data are not loaded yet.

    Args:
        tasks: names, or tasks of your own (instances of mteb's `AbsTask`), which are taken as they are.

    Raises:
        RecipeError: mteb is not installed, a name that it does not know, or a task of something else than text.
    """
    mteb = _import_mteb()
    known = {task.metadata.name for task in mteb.get_tasks(exclude_superseded=False, exclude_private=False)}
    found = []
    for task in tasks:
        if isinstance(task, str) and task not in known:
            hint = did_you_mean(task, sorted(known), "`mteb available-tasks` lists its names")
            raise RecipeError(f"mteb: no task {task!r} in mteb {mteb.__version__}{hint}")
        found.append(mteb.get_task(task) if isinstance(task, str) else task)
        modalities = set(found[-1].metadata.modalities) - {"text"}
        if modalities:
            name = found[-1].metadata.name
            raise RecipeError(f"mteb: task {name} is of {', '.join(sorted(modalities))}; choose tasks of text alone")
    return found


def evaluate_mteb(
    encode: Encode, tasks: Sequence[Any], *, name: str, revision: str, cache: Path | None = None, progress: bool = True
) -> MTEBResult:
    """Run tasks one after the other; sentences are encoded without prompts and compared by their cosine.

    Args:
        encode: N sentences to [N, D].
        tasks: of `load_mteb_tasks`.
        name: of the model in mteb's files.
        revision: of the model: results in `cache` are found again by name and revision.
        cache: folder for mteb's own files; a task that is there is not run again.

    Raises:
        DataError: a task's data cannot be loaded.
    """
    mteb = _import_mteb()
    model = _Encoder(encode, name, revision)
    store = mteb.ResultCache(cache_path=cache) if cache is not None else None
    scores = {}
    for task in tasks:
        parts = _parts(task)
        # Of data that were put into a task nobody knows whether they are those of last time.
        anew = any(part.data_loaded for part in parts)
        for part in parts:
            _name_failures(part)
        (result,) = mteb.evaluate(
            model,
            task,
            cache=store,
            co2_tracker=False,
            encode_kwargs={},
            overwrite_strategy="always" if anew else "only-missing",
            public_only=False,  # a task whose data are not public fails like any other, and is not passed over
            show_progress_bar=progress,
        ).task_results
        scores[task.metadata.name] = MTEBScore(
            kind=task.metadata.type,
            metric=task.metadata.main_score,
            main_score=_plain(float(result.get_score())),
            scores=_plain(result.scores),
            dataset_revision=result.dataset_revision,
        )
    return MTEBResult(scores, mteb.__version__)


def mteb_revision(encoder: SentenceEncoder | StaticEncoder, bf16: bool = False) -> str:
    """What decides the vectors that are measured, in one word: another word, other results."""
    if isinstance(encoder, StaticEncoder):
        return xxh3_64_hexdigest(encoder.fingerprint().encode())
    parts = [model_fingerprint(encoder), encoder.eval_pooler, encoder.head_mode, encoder.max_length, bf16]
    return xxh3_64_hexdigest(json.dumps(parts).encode())


class _Encoder:
    """What mteb asks of an encoder."""

    def __init__(self, encode: Encode, name: str, revision: str) -> None:
        from mteb.models.model_meta import ModelMeta

        self._encode = encode
        self.mteb_model_meta = ModelMeta.create_empty({"name": name, "revision": revision})

    def encode(self, inputs: Iterable[dict[str, Any]], **_: Any) -> np.ndarray:
        """Batches with `text` to float32 [N, D]; what else mteb says of them (task, split, prompt) changes nothing."""
        sentences = [sentence for batch in inputs for sentence in batch["text"]]
        return self._encode(sentences).float().cpu().numpy()

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines [N, M]."""
        return _unit(embeddings1) @ _unit(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines [N]."""
        return (_unit(embeddings1) * _unit(embeddings2)).sum(-1)


def _unit(vectors: Any) -> Tensor:
    return nn.functional.normalize(torch.as_tensor(vectors).float(), dim=-1)


def _import_mteb() -> Any:
    try:
        return importlib.import_module("mteb")
    except ImportError as error:
        raise RecipeError(
            f"mteb: the package cannot be imported ({error}); pip install 'hf-contrastive[mteb]'"
        ) from error


def _plain(value: Any) -> Any:
    """What JSON can hold: mteb has its own kinds of numbers, and NaN where there is nothing to correlate."""
    return json.loads(json.dumps(value, default=float), parse_constant=lambda _: None)


def _parts(task: Any) -> list[Any]:
    """The tasks with data that an aggregate is made of, or the task itself."""
    if not task.is_aggregate:
        return [task]
    return [part for each in task.metadata.tasks for part in _parts(each)]


def _name_failures(task: Any) -> None:
    """Have the task say which data could not be loaded, when mteb loads them."""
    load = task.load_data

    def load_data(*args: Any, **kwargs: Any) -> None:
        try:
            load(*args, **kwargs)
        except (OSError, ValueError, RuntimeError, DatasetsError) as error:
            raise DataError(
                f"mteb: task {task.metadata.name}: its data, {task.metadata.dataset['path']}, cannot be loaded "
                f"({type(error).__name__}: {str(error).partition(chr(10))[0]}); check the connection, or give tasks "
                "whose data are at hand to evaluate_mteb"
            ) from error

    task.load_data = load_data
