"""Tiny but complete runs of word vectors: a corpus in which words have company they keep, pairs, a recipe."""

import random
from pathlib import Path
from typing import Any

import yaml

TOPICS = [[first + second for first in letters for second in "aeiou"] for letters in ("bcd", "fgh", "klm")]
WORDS = sum(TOPICS, [])


def sentence(rng: random.Random) -> str:
    """Words of one topic, the first ones of it more often."""
    topic = rng.choice(TOPICS)
    return " ".join(rng.choices(topic, [1 / (1 + place) for place in range(len(topic))], k=rng.randint(1, 14)))


def make_word_run(folder: Path, **overrides: Any) -> Path:
    """A folder with corpus.txt, pairs.txt and recipe.yaml; paths inside the recipe are absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    (folder / "corpus.txt").write_text("".join(sentence(rng) + "\n" for _ in range(400)), encoding="utf-8")
    pairs = [(rng.choice(WORDS), rng.choice(WORDS)) for _ in range(60)]
    lines = [f"{a} {b} {int(any(a in topic and b in topic for topic in TOPICS))}\n" for a, b in pairs]
    (folder / "pairs.txt").write_text("".join(lines), encoding="utf-8")
    recipe: dict[str, Any] = {
        "task": "words",
        "dimension": 8,
        "train_data": str(folder / "corpus.txt"),
        "cache_dir": str(folder / "cache"),
        "min_count": 1,
        "window": 3,
        "subsample": 0.1,
        "chunk_words": 32,
        "negatives": {"name": "unigram", "k": 16, "stands_for": 4},
        "similarity_data": str(folder / "pairs.txt"),
        "output_dir": str(folder / "out"),
        "max_steps": 24,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.2,
        "eval_strategy": "steps",
        "eval_steps": 8,
        "save_strategy": "steps",
        "save_steps": 8,
        "logging_steps": 4,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**recipe, **overrides}), encoding="utf-8")
    return folder
