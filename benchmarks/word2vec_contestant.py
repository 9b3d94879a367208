"""One contestant of `word2vec.py` or `words_cost.py`, in a process of its own: `python word2vec_contestant.py JOB`.

Prints one JSON line. Timed is training alone: the corpus is counted and encoded before, and nothing is evaluated.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Measurement
from transformers import TrainerCallback, TrainerControl, TrainerState
from word2vec import RECIPE, SETS

from hf_contrastive.data import WordCorpus, load_word_corpus
from hf_contrastive.evaluation import WordSimilarity
from hf_contrastive.recipe import load_recipe
from hf_contrastive.training.words import WordTrainer, contrastive_word_model


def measure(job: dict[str, Any]) -> Measurement:
    """Train as the job says; rate in running words of the vocabulary, before frequent ones are thinned out."""
    torch.set_num_threads(job["threads"])
    data = load_recipe(RECIPE).data
    corpus = load_word_corpus(
        job["train_data"],
        tokenizer=data.tokenizer,
        min_count=data.min_count,
        max_rows=job["max_rows"],
        cache_dir=Path(os.environ.get("HF_CONTRASTIVE_WORD_CACHE", data.cache_dir)),
    )
    with tempfile.TemporaryDirectory() as folder:
        if job["contestant"] == "steps":
            trainer, timer = word_trainer(job, corpus, folder), StepTimer(job["warmup"])
            trainer.add_callback(timer)
            trainer.train()
            return {"step_seconds": timer.mean}
        seconds, vectors = (ours if job["contestant"] == "ours" else peer)(job, corpus, folder)
    sets = WordSimilarity(Path(os.environ["HF_CONTRASTIVE_DATA"]) / "wordsim")
    scores = sets.measure(corpus.vocabulary.index, vectors).scores
    return {
        "seconds": seconds,
        "words": len(corpus.ids),
        "words_per_second": job["epochs"] * len(corpus.ids) / seconds,
        "scores": {name: scores[name].spearman for name in SETS},
    }


class StepTimer(TrainerCallback):
    """Mean seconds of the steps after the first ones, everything between them included."""

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.mean = 0.0

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step == self.warmup:
            self.start = time.perf_counter()
        elif state.global_step > self.warmup:
            self.mean = (time.perf_counter() - self.start) / (state.global_step - self.warmup)


def word_trainer(job: dict[str, Any], corpus: WordCorpus, folder: str) -> WordTrainer:
    """The recipe on the stock Trainer."""
    overrides = {
        "output_dir": folder,
        "num_train_epochs": job["epochs"],
        "max_steps": job["warmup"] + job["steps"] if "steps" in job else -1,
        "per_device_train_batch_size": job["chunks"],
        "seed": job["seed"],
        "eval_strategy": "no",
        "save_strategy": "no",
        "disable_tqdm": "true",
        **job.get("overrides", {}),
    }
    recipe = load_recipe(RECIPE, [f"--{key}={value}" for key, value in overrides.items()])
    args: Any = recipe.training
    args.use_cpu = job["device"] == "cpu"
    model = contrastive_word_model(corpus, recipe.model, recipe.data, recipe.negatives, args)
    return WordTrainer(model, args, corpus, chunk_words=recipe.data.chunk_words)


def ours(job: dict[str, Any], corpus: WordCorpus, folder: str) -> tuple[float, np.ndarray]:
    """All epochs."""
    trainer = word_trainer(job, corpus, folder)
    start = time.perf_counter()
    trainer.train()
    if job["device"] != "cpu":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return seconds, trainer.contrastive_model.words.input_embeddings.detach().cpu().numpy()


def peer(job: dict[str, Any], corpus: WordCorpus, folder: str) -> tuple[float, np.ndarray]:
    """gensim from a file, its fastest way: workers read without Python's lock."""
    from gensim.models import Word2Vec

    words, path = corpus.vocabulary.words, Path(folder) / "corpus.txt"
    with path.open("w", encoding="utf-8") as file:
        for first, last in zip(corpus.starts[:-1], corpus.starts[1:], strict=True):
            file.write(" ".join(words[i] for i in corpus.ids[first:last]) + "\n")
    data = load_recipe(RECIPE).data
    model = Word2Vec(
        vector_size=100,
        window=data.window,
        sg=1,
        negative=5,
        sample=data.subsample,
        min_count=1,
        workers=job["threads"],
        seed=job["seed"],
    )
    model.build_vocab(corpus_file=str(path))
    start = time.perf_counter()
    # Of a file each worker holds the sentences it has seen itself against all there are: told the whole number, none
    # would decay its learning rate below (workers - 1) / workers of the first. When to stop is counted in words.
    model.train(
        corpus_file=str(path),
        total_examples=max(1, model.corpus_count // job["threads"]),
        total_words=model.corpus_total_words,
        epochs=job["epochs"],
    )
    seconds = time.perf_counter() - start
    return seconds, model.wv[words]


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
