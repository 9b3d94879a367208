"""Our loss in sentence-transformers' own trainer: data, trainer, and what is looked at."""

import os
import random
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from helpers import WORDS
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from hf_contrastive.integrations.sentence_transformers import ContrastiveLoss

EXACT = {"name": "adversarial", "k": 4, "hidden": 8}
NAMES = ("anchor", "positive", "negative_1", "negative_2")


def texts(rows: int, columns: int, seed: int = 0) -> Dataset:
    """Sentences that all differ, columns of unlike lengths."""
    rng = random.Random(seed)
    lengths = [(3, 5), (6, 12), (2, 8), (3, 4)]
    made: dict[str, list[str]] = {name: [] for name in NAMES[:columns]}
    for name, (low, high) in zip(made, lengths, strict=False):
        while len(made[name]) < rows:
            text = " ".join(rng.choices(WORDS[:60], k=rng.randint(low, high)))
            if not any(text in column for column in made.values()):
                made[name].append(text)
    return Dataset.from_dict(made)


def make_trainer(
    folder: Path, model: SentenceTransformer, loss: Any, data: Any, callbacks: bool = True, **options: Any
) -> SentenceTransformerTrainer:
    defaults = {"max_steps": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "report_to": "none"}
    defaults |= {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1, "seed": 3}
    given = options.pop("given_callbacks", loss.callbacks() if callbacks and hasattr(loss, "callbacks") else None)
    eval_dataset = options.pop("eval_dataset", None)
    args = SentenceTransformerTrainingArguments(str(folder), **{**defaults, **options})
    return SentenceTransformerTrainer(model, args, data, eval_dataset, loss, callbacks=given)


def features(model: SentenceTransformer, *columns: list[str]) -> list[dict[str, Any]]:
    return [model.preprocess(column) for column in columns]


def three_steps(checkpoint: str, out: Path) -> dict[str, torch.Tensor]:
    """State after three steps on 8 rows each, dealt to as many ranks as there are."""
    loss = ContrastiveLoss(
        SentenceTransformer(checkpoint, device="cpu"),
        ["in_batch", "hard", {**EXACT, "learning_rate": 0.1}],
        bank_size=24,
    )
    options = {"max_steps": 3, "optim": "sgd", "learning_rate": 0.05, "dataloader_drop_last": True}
    rows = 8 // int(os.environ.get("WORLD_SIZE", "1"))
    make_trainer(out, loss.model, loss, texts(40, 3), per_device_train_batch_size=rows, **options).train()
    return {name.replace("model.module.", "model."): value for name, value in loss.state_dict().items()}
