"""One contestant of `onnx_encode.py` in a process of its own: `python benchmarks/onnx_contestant.py JOB`.

Prints one JSON line. Both get the same batches, tokenised before, and give finished vectors as numpy arrays.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Measurement, process_memory
from torch import Tensor

from hf_contrastive.hub.onnx import FILE
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.token_batches import token_batches

Encode = Callable[[Tensor, Tensor], np.ndarray]
_COMPARED = 256  # sentences whose vectors are compared with torch's


def measure(job: dict[str, Any]) -> Measurement:
    """Encode all sentences once, after a first batch that is not timed."""
    torch.set_num_threads(job["threads"])
    encoder = SentenceEncoder.from_pretrained(job["model"], fast_dropout=False).eval()
    texts = Path(job["data"]).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    batches = [
        (tokens, mask)
        for _, tokens, mask in token_batches(texts, encoder.tokenizer, encoder.max_length, job["batch_size"])
    ]
    encode = of_torch(encoder) if job["contestant"] == "torch" else of_onnxruntime(job)
    encode(*batches[0])
    start = time.perf_counter()
    for tokens, mask in batches:
        encode(tokens, mask)
    seconds = time.perf_counter() - start
    made: Measurement = {
        "seconds": seconds,
        "sentences_per_second": len(texts) / seconds,
        "peak_rss_bytes": process_memory("VmHWM"),
    }
    if job["contestant"] == "onnxruntime":
        made["difference"] = largest_difference(encode, of_torch(encoder), batches)
    return made


def of_torch(encoder: SentenceEncoder) -> Encode:
    """The encoder as `SentenceEncoder.encode` runs it."""

    @torch.inference_mode()
    def encode(tokens: Tensor, mask: Tensor) -> np.ndarray:
        vectors = encoder(tokens, mask)
        return (torch.nn.functional.normalize(vectors, dim=-1) if encoder.normalize else vectors).numpy()

    return encode


def of_onnxruntime(job: dict[str, Any]) -> Encode:
    """The exported graph, on as many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = job["threads"], 1
    path = Path(job["model"]) / FILE
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def encode(tokens: Tensor, mask: Tensor) -> np.ndarray:
        given = {"input_ids": tokens.numpy(), "attention_mask": mask.numpy()}
        return session.run(["sentence_embedding"], given)[0]

    return encode


def largest_difference(encode: Encode, reference: Encode, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Of `_COMPARED` sentences or all, in batches evenly spaced; vectors are divided by the reference's length."""
    count = max(1, min(len(batches), _COMPARED // len(batches[0][0])))
    largest = 0.0
    for place in np.linspace(0, len(batches) - 1, count).astype(int):
        wanted = reference(*batches[place])
        lengths = np.linalg.norm(wanted, axis=-1, keepdims=True)
        largest = max(largest, float(np.abs((encode(*batches[place]) - wanted) / lengths).max()))
    return largest


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
