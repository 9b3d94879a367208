"""One contestant of `encode.py` in a process of its own: `python benchmarks/encode_contestant.py JOB`.

Prints one JSON line. Pooling is the mean over tokens for both, vectors are float32 and not normalised.
"""

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Measurement, process_memory

_COMPARED = 1000  # rows whose vectors are compared
_NOTED = 16  # rows of which a few numbers are noted


def measure(job: dict[str, Any]) -> Measurement:
    """Encode all rows once; the vectors that are compared go to the file `probes` of the job.

    Raises:
        ValueError: not as many vectors as lines.
    """
    torch.set_num_threads(job["threads"])
    seconds, vectors = (ours if job["contestant"] == "ours" else peer)(job)
    with open(job["data"], "rb") as file:
        lines = sum(1 for _ in file)
    if len(vectors) != lines:
        raise ValueError(f"{job['contestant']}: {len(vectors):,} vectors of {lines:,} sentences")
    np.save(job["probes"], vectors[evenly(lines, _COMPARED)])
    return {
        "rows": lines,
        "seconds": seconds,
        "sentences_per_second": len(vectors) / seconds,
        "peak_rss_bytes": process_memory("VmHWM"),
        "probe": vectors[evenly(lines, _NOTED), :4].tolist(),
    }


def evenly(count: int, most: int) -> np.ndarray:
    """Up to `most` of `count` rows, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)


def ours(job: dict[str, Any]) -> tuple[float, np.ndarray]:
    """The command, from the file of sentences to the file of vectors, the loading of the model included."""
    from hf_contrastive.retrieval.encode import encode
    from hf_contrastive.retrieval.settings import EncodeSettings

    with tempfile.TemporaryDirectory() as folder:
        settings = EncodeSettings(
            job["data"],
            job["model"],
            Path(folder) / "vectors.npy",
            pooler="avg",
            normalize=False,
            max_length=job["max_length"],
            batch_tokens=job["batch_tokens"],
            bf16=job["bf16"],
            device=job["device"],
        )
        start = time.perf_counter()
        file = encode(settings)
        seconds = time.perf_counter() - start
        return seconds, np.load(file, allow_pickle=False)


def peer(job: dict[str, Any]) -> tuple[float, np.ndarray]:
    """`SentenceTransformer.encode`; model and sentences are in memory before."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(job["model"], max_seq_length=job["max_length"])
    model = SentenceTransformer(
        modules=[transformer, Pooling(transformer.get_embedding_dimension(), "mean")], device=job["device"]
    ).float()
    sentences = Path(job["data"]).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    precision = torch.autocast(job["device"], torch.bfloat16) if job["bf16"] else contextlib.nullcontext()
    start = time.perf_counter()
    with precision:
        vectors = model.encode(sentences, batch_size=job["peer_batch_size"], show_progress_bar=False)
    return time.perf_counter() - start, np.asarray(vectors, dtype=np.float32)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
