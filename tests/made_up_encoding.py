"""Made-up results of benchmarks of encoders, and the tables that are made of them."""

from typing import Any

from made_up_results import ENVIRONMENT, MACHINE

VERSIONS = {**ENVIRONMENT, "sentence_transformers": "6.2.0", "mteb": "2.26.24"}
ENCODE = {
    "environment": VERSIONS,
    "settings": {"model": "tiny", "max_length": 128, "threads": 2, "bf16": True},
    "measurements": [{"round": turn, "contestant": name} for turn in (0, 1) for name in ("ours", "peer")],
    "summary": {
        "ours": {"sentences_per_second": {"mean": 150.0, "stdev": 3.0}},
        "peer": {"sentences_per_second": {"mean": 100.0, "stdev": 1.0}},
        "ratio": {"mean": 1.5, "stdev": 0.02},
        "rows": 8192,
        "rows_compared": 1000,
        "largest_difference": 2.1e-6,
    },
}
STARTS = [{"left": left, "seconds": 100.0} for left in (19, 38, 57)]
RESUMED: dict[str, Any] = {
    "environment": ENVIRONMENT,
    "settings": {"model": "tiny", "max_length": 32, "bf16": False},
    "summary": {"starts": STARTS, "rows": 460_000, "in_order": True, "largest_difference": 1.2e-6},
}
ENCODE_TABLE = f"""\
|  | sentences/s | to the peer |
| --- | ---: | ---: |
| hf-contrastive encode | 150.0 ± 3.0 | 1.50 ± 0.02 |
| SentenceTransformer.encode | 100.0 ± 1.0 |  |

tiny, 8,192 sentences of at most 128 tokens, 2 threads, bfloat16 autocast; mean ± standard deviation of 2 \
measurements, taken in turns, each in a fresh process; ours with reading, checking and writing. Vectors of 1,000 rows \
differ by 2.1e-06 at most. {MACHINE}, sentence-transformers 6.2.0.

Killed twice on 460,000 sentences (tiny, at most 32 tokens, float32), with 19 and 38 shards written, and started \
again: no row was lost, doubled or moved, and 1,000 vectors looked up are the encoder's own within 1e-06 of their \
length. 5 minutes in all. {MACHINE}.
"""
EVALUATED = {
    "environment": VERSIONS,
    "settings": {"model": "tiny"},
    "summary": {
        "tasks": {
            "STS12": {
                "ours": {"spearman": 0.5},
                "sentence-transformers": {"spearman": 0.5 + 2e-6},
                "mteb": {"spearman": 0.5},
                "largest_difference": 2e-6,
            },
            "MRPC": {
                "ours": {"accuracy": 0.75, "f1": 0.8},
                "sentence-transformers": {"accuracy": 0.7505},
                "reference": {"accuracy": 0.75, "f1": 0.8},
                "largest_difference": 5e-4,
                "one_example": 6e-4,
            },
        },
        "equal": True,
    },
}
EVALUATORS_TABLE = f"""\
|  | ours | sentence-transformers | mteb | reference | largest difference |
| --- | ---: | ---: | ---: | ---: | ---: |
| STS12, Spearman | 50.00 | 50.00 | 50.00 |  | 2e-06 |
| MRPC, accuracy | 75.00 | 75.05 |  | 75.00 | 5e-04 |
| MRPC, F1 | 80.00 |  |  | 80.00 | 0e+00 |

tiny; figures x 100, differences of figures from 0 to 1. {MACHINE}, sentence-transformers 6.2.0, mteb 2.26.24.
"""
ONNX = {
    "environment": {**ENVIRONMENT, "onnxruntime": "1.31.1"},
    "settings": {"model": "tiny", "rows": 2048, "threads": 2, "max_length": 128, "batch_size": 32},
    "measurements": [{"round": turn, "contestant": name} for turn in (0, 1) for name in ("onnxruntime", "torch")],
    "summary": {
        "onnxruntime": {"sentences_per_second": {"mean": 90.0, "stdev": 2.0}},
        "torch": {"sentences_per_second": {"mean": 60.0, "stdev": 1.0}},
        "ratio": {"mean": 1.5, "stdev": 0.05},
        "largest_difference": 6.1e-7,
    },
}
ONNX_TABLE = f"""\
|  | sentences/s | to torch |
| --- | ---: | ---: |
| onnxruntime | 90.0 ± 2.0 | 1.50 ± 0.05 |
| torch | 60.0 ± 1.0 |  |

tiny, 2,048 sentences of at most 128 tokens in batches of 32, 2 threads, float32; mean ± standard deviation of 2 \
measurements, taken in turns, each in a fresh process. Vectors differ by 6.1e-07 of their length at most. {MACHINE}, \
onnxruntime 1.31.1.
"""

FILES = {"onnx_cpu": ONNX, "encode_cpu": ENCODE, "encode_resume_cpu": RESUMED, "evaluators": EVALUATED}
EXPECTED = {"onnx": ONNX_TABLE, "encode": ENCODE_TABLE, "evaluators": EVALUATORS_TABLE}
