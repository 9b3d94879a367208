"""One contestant of `sentence_training.py` in a process of its own: `python benchmarks/contestant.py JOB`.

Prints one JSON line. Model, sentences, batch, length, precision, optimizer, learning rate and schedule are the same
for all; both losses are InfoNCE over the batch at scale 20, both trainers shuffle with seed 42.
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from harness import Measurement, process_memory, spread
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed

from hf_contrastive.data import load_training_data, tokenize_dataset
from hf_contrastive.data.files import read_rows
from hf_contrastive.recipe import load_recipe
from hf_contrastive.tasks.sentences import load_encoder
from hf_contrastive.training import ContrastiveTrainer
from hf_contrastive.training.build import contrastive_model
from hf_contrastive.training.memory import keep_freed_memory

CONTESTANTS = ("ours", "peer", "peer_allocator")


@dataclass(frozen=True)
class Job:
    """What one contestant trains.

    Args:
        contestant: of `CONTESTANTS`; `peer_allocator` is the peer under our settings of the C library's allocator.
        data: text file, a sentence a line, as many as all steps take.
        steps: how many are timed, after `warmup` others.
        chunk_size: sentences that ours encodes at a time; `None`: all.
        overrides: more recipe keys of ours.
    """

    contestant: str
    model: str
    data: str
    device: str
    batch_size: int
    max_length: int
    steps: int
    warmup: int
    bf16: bool
    chunk_size: int | None
    overrides: dict[str, Any] = field(default_factory=dict)

    def arguments(self, output_dir: str) -> dict[str, Any]:
        """The `TrainingArguments` that both trainers are given; the rest are the defaults."""
        return {
            "output_dir": output_dir,
            "max_steps": self.warmup + self.steps,
            "per_device_train_batch_size": self.batch_size,
            "learning_rate": 3e-5,
            "bf16": self.bf16,
            "use_cpu": self.device == "cpu",
            "save_strategy": "no",
            "logging_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
        }


class Clock(TrainerCallback):
    """Notes when each step ends, and the loss of the last one.

    On a GPU only the ends of the timed window wait for the device: single steps are then times of the host.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.last = job.warmup + job.steps
        self.marks: list[float] = []
        self.loss = float("nan")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if self.job.device == "cuda" and state.global_step in (self.job.warmup, self.last):
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())
        # Logged losses are means since the log before: two logs in a row leave that of one step.
        control.should_log = state.global_step >= self.last - 1
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        self.loss = (logs or {}).get("loss", self.loss)

    def figures(self) -> Measurement:
        """Rows a second over the timed steps, and their times in seconds."""
        window = self.marks[self.job.warmup - 1 :]
        steps = torch.tensor(window, dtype=torch.float64).diff()
        return {
            "sentences_per_second": self.job.batch_size * self.job.steps / (window[-1] - window[0]),
            "seconds": window[-1] - window[0],
            "step_seconds": spread(steps.tolist()) | {"median": steps.median().item()},
            "last_loss": self.loss,
        }


def ours(job: Job, folder: str, clock: Clock) -> tuple[Trainer, Measurement]:
    """What `hf_contrastive.train` does with these overrides and no recipe, up to `trainer.train()`."""
    options = {**job.arguments(folder), "model_name_or_path": job.model, "pooler": "avg"}
    options |= {"train_data": job.data, "max_length": job.max_length, "recompute_chunks": False}
    if job.chunk_size is not None:
        options["encode_chunk_size"] = job.chunk_size
    recipe = load_recipe(None, [f"--{key}={value}" for key, value in (options | job.overrides).items()])
    encoder = load_encoder(recipe)
    begin = time.perf_counter()
    dataset, _ = tokenize_dataset(load_training_data(recipe.data), encoder.tokenizer, job.max_length)
    once = {"tokenisation_seconds": time.perf_counter() - begin}
    model = contrastive_model(
        encoder, recipe.training, recipe.negatives.sampler_configs, recipe.negatives, job.max_length
    )
    return ContrastiveTrainer(model, recipe.training, dataset, callbacks=[clock]), once


def peer(job: Job, folder: str, clock: Clock) -> tuple[Trainer, Measurement]:
    """sentence-transformers as its documentation trains SimCSE: every sentence paired with itself."""
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(job.model, max_seq_length=job.max_length)
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    model = SentenceTransformer(modules=[transformer, pooling], device=job.device).float()
    sentences = [cells["text"] for _, cells in read_rows(Path(job.data), ["text"])]
    return (
        SentenceTransformerTrainer(
            model,
            SentenceTransformerTrainingArguments(**job.arguments(folder)),
            Dataset.from_dict({"anchor": sentences, "positive": sentences}),
            loss=MultipleNegativesRankingLoss(model, scale=20.0),
            callbacks=[clock],
        ),
        {},
    )


def measure(job: Job) -> Measurement:
    """Train and time."""
    set_seed(42)
    clock = Clock(job)
    if job.contestant == "peer_allocator":
        keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        trainer, once = (ours if job.contestant == "ours" else peer)(job, folder, clock)
        trainer.train()
    memory = {"peak_rss_bytes": process_memory("VmHWM")}
    if job.device == "cuda":
        memory["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    return {**clock.figures(), **memory, **once}


if __name__ == "__main__":
    print(json.dumps(measure(Job(**json.loads(sys.argv[1])))))
