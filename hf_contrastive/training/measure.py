"""What a run measures: dev pairs while it trains, and everything it was asked for before and after."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from hf_contrastive.arguments import EVALUATION_TASKS, RETRIEVAL_INDEXES, EvaluationArguments, one_of
from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation.encoding import Encode
from hf_contrastive.evaluation.mteb_tasks import evaluate_mteb, load_mteb_tasks, mteb_revision
from hf_contrastive.evaluation.pairs import load_sts_pairs
from hf_contrastive.evaluation.report import EvaluationResults, print_table, save_json
from hf_contrastive.evaluation.retrieval import evaluate_retrieval
from hf_contrastive.evaluation.sources import (
    resolve_dev_source,
    resolve_retrieval_folders,
    resolve_sts_source,
    resolve_transfer_folder,
)
from hf_contrastive.evaluation.sts import evaluate_pairs, evaluate_sts
from hf_contrastive.evaluation.transfer import evaluate_transfer
from hf_contrastive.files import write_json
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.loading import load_for_measuring
from hf_contrastive.retrieval.work import check_writable

if TYPE_CHECKING:
    from hf_contrastive.training.trainer import ContrastiveTrainer

logger = logging.getLogger(__name__)


def dev_evaluator(args: EvaluationArguments) -> Callable[[Encode], dict[str, float]]:
    """What the Trainer calls to choose a checkpoint: `dev_spearman`, `dev_alignment`, `dev_uniformity`.

    Raises:
        DataError: the dev pairs cannot be read; before any training.
    """
    pairs = load_sts_pairs(resolve_dev_source(args))

    def evaluate(encode: Encode) -> dict[str, float]:
        return {f"dev_{name}": value for name, value in evaluate_pairs(encode, pairs).items()}

    return evaluate


class Measurements:
    """The figures of one run, kept in its folder so that a resumed run does not measure again.

    Args:
        args: what is to be measured; read and checked at once.
        output_dir: folder of the run.

    Raises:
        DataError: evaluation data that is missing or cannot be read.
    """

    def __init__(self, args: EvaluationArguments, output_dir: Path) -> None:
        self.args = args
        self.output_dir = output_dir
        self.test = load_sts_pairs(args.test_data) if args.test_data is not None else None
        self.sts = resolve_sts_source(args.sts_data) if "sts" in args.final_evaluation else None
        self.transfer = resolve_transfer_folder(args.transfer_data) if "transfer" in args.final_evaluation else None
        wanted = "retrieval" in args.final_evaluation
        self.retrieval = resolve_retrieval_folders(args.retrieval_data) if wanted else None

    def before(self, trainer: "ContrastiveTrainer") -> dict[str, Any]:
        """The checkpoint as it came: no head, `baseline_pooler`. Measured once a run."""
        path = self.output_dir / "before.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        trainer.encoder.to(trainer.args.device)  # FSDP and DeepSpeed would move it only when training begins
        with as_it_came(trainer.encoder, self.args.baseline_pooler):
            figures = self._measure(trainer, f"before training, pooler {self.args.baseline_pooler}")
        if trainer.args.should_save:
            write_json(path, figures)
        return figures

    def after(self, trainer: "ContrastiveTrainer") -> dict[str, Any]:
        """The model as it is published."""
        return self._measure(trainer, f"after training, pooler {trainer.encoder.eval_pooler}")

    def _measure(self, trainer: "ContrastiveTrainer", name: str) -> dict[str, Any]:
        start = time.perf_counter()
        figures: dict[str, Any] = {"name": name}
        if trainer.evaluator is not None:
            figures["dev"] = trainer.evaluator(trainer.encode)
        if self.test is not None:
            figures["test"] = evaluate_pairs(trainer.encode, self.test)
        show = trainer.args.should_log and not trainer.args.disable_tqdm
        results = EvaluationResults(
            name,
            sts=evaluate_sts(trainer.encode, self.sts, progress=show) if "sts" in self.args.final_evaluation else None,
            transfer=evaluate_transfer(trainer.encode, self.transfer, progress=show) if self.transfer else None,
            retrieval=evaluate_retrieval(trainer.encode, self.retrieval, progress=show) if self.retrieval else None,
            seconds=round(time.perf_counter() - start, 1),
        )
        return {**figures, **results.to_dict()}


@contextmanager
def as_it_came(encoder: SentenceEncoder, pooler: str) -> Iterator[None]:
    """The encoder with another test pooler and without its head."""
    kept = encoder.eval_pooler, encoder.head_mode
    encoder.eval_pooler, encoder.head_mode = pooler, "none"
    try:
        yield
    finally:
        encoder.eval_pooler, encoder.head_mode = kept


def evaluate_model(
    model: str,
    *,
    pooler: str | None = None,
    tasks: Sequence[str] = ("sts",),
    mteb: Sequence[Any] = (),
    sts_data: str | None = None,
    transfer_data: str | None = None,
    retrieval_data: str | None = None,
    retrieval_index: str = "exact",
    output: Path | None = None,
    max_length: int | None = None,
    batch_size: int = 64,
    bf16: bool = False,
    device: str | None = None,
    revision: str = "main",
) -> EvaluationResults:
    """Measure any checkpoint, print the table and save it.

    Args:
        model: folder or Hub name, ours or not.
        pooler: default: what the model's own files say, else `avg`.
        tasks: of `EVALUATION_TASKS`.
        mteb: tasks of `load_mteb_tasks`. Their files are kept beside `output`, in `OUTPUT.mteb/`, and a task that is
            there for this model is not run again.
        retrieval_data: folder in BEIR's layout, or a folder of those.
        retrieval_index: of `RETRIEVAL_INDEXES`.
        output: JSON file.
        device: default: the first accelerator, else the CPU.

    Raises:
        ContrastiveError: model, pooler, device, task, data or output that cannot be used; before anything is encoded.
    """
    for task in tasks:
        one_of("task", task, EVALUATION_TASKS)
    if output is not None:
        if output.is_dir():
            raise RecipeError(f"output: {output} is a folder; name a JSON file")
        check_writable(output)
    sts = resolve_sts_source(sts_data) if "sts" in tasks else None
    transfer = resolve_transfer_folder(transfer_data) if "transfer" in tasks else None
    one_of("retrieval_index", retrieval_index, RETRIEVAL_INDEXES)
    retrieval = resolve_retrieval_folders(retrieval_data) if "retrieval" in tasks else None
    of_mteb = load_mteb_tasks(mteb) if mteb else []
    encoder = load_for_measuring(model, pooler=pooler, max_length=max_length, revision=revision, device=device)

    def encode(sentences: list[str]) -> Tensor:
        return encoder.encode(sentences, batch_size=batch_size, bf16=bf16)

    start = time.perf_counter()
    results = EvaluationResults(
        f"{model} ({encoder.eval_pooler})",
        sts=evaluate_sts(encode, sts) if "sts" in tasks else None,
        transfer=evaluate_transfer(encode, transfer) if transfer is not None else None,
        retrieval=evaluate_retrieval(encode, retrieval, retrieval_index) if retrieval is not None else None,
        mteb=evaluate_mteb(
            encode,
            of_mteb,
            name=model,
            revision=mteb_revision(encoder, bf16),
            cache=output.with_suffix(".mteb") if output is not None else None,
        )
        if of_mteb
        else None,
        seconds=round(time.perf_counter() - start, 1),
    )
    print_table(results)
    if output is not None:
        save_json(output, results)
        logger.info("saved to %s", output)
    return results
