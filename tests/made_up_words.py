"""Made-up results of words, and the tables that are made of them."""

from typing import Any

import sentence_tables
from made_up_results import ENVIRONMENT, MACHINE

FIGURE = {"mean": 0.5, "stdev": 0.01}
WORD2VEC = {
    "environment": {**ENVIRONMENT, "gensim": "4.4.0"},
    "settings": {"threads": 2, "chunks": 8},
    "measurements": [{"round": 0}, {"round": 0}],
    "summary": {
        "5": {
            name: {
                "words_per_second": {"mean": rate, "stdev": 10.0},
                "seconds": {"mean": 100.0, "stdev": 1.0},
                "scores": dict.fromkeys(("WS-353", "SimLex-999", "RW"), FIGURE),
            }
            for name, rate in (("ours", 3e5), ("gensim", 2e5))
        }
        | {"ratio": {"mean": 1.5, "stdev": 0.02}}
    },
}
WORD2VEC_TABLE = f"""\
|  | words/s | seconds | WS-353 | SimLex-999 | RW |
| --- | ---: | ---: | ---: | ---: | ---: |
| hf_contrastive, 5 epochs | 300,000 ± 10 | 100 ± 1 | 50.0 ± 1.0 | 50.0 ± 1.0 | 50.0 ± 1.0 |
| gensim, 5 epochs | 200,000 ± 10 | 100 ± 1 | 50.0 ± 1.0 | 50.0 ± 1.0 | 50.0 ± 1.0 |
| ratio, 5 epochs | 1.50 ± 0.02 |  |  |  |  |

Skip-gram, d = 100, window 5, K = 5, 2 threads, steps of 4,096 words; Spearman x 100; mean ± standard deviation over \
1 rounds, or of one. {MACHINE}, gensim 4.4.0.
"""


def words_run(score: float, vocabulary: int = 69_692) -> dict[str, Any]:
    scores = {name: {"spearman": score} for name in ("WS-353", "SimLex-999", "RW")}
    return {
        "after": {"similarity": {"scores": scores}},
        "steps": 2000,
        "vocabulary": vocabulary,
        "environment": ENVIRONMENT,
    }


WORDS = {
    "ace-42": words_run(0.5),
    "ace-43": words_run(0.52),
    "ace-equal_time-42": words_run(0.4),
    "full_softmax_of_5000-42": words_run(0.45, 5000),
}
WORDS_TABLE = f"""\
|  | WS-353 | SimLex-999 | RW | seeds | steps |
| --- | ---: | ---: | ---: | ---: | ---: |
| ace | 51.0 ± 1.4 | 51.0 ± 1.4 | 51.0 ± 1.4 | 2 | 2,000 |
| ace, equal time | 40.0 | 40.0 | 40.0 | 1 | 2,000 |
| full softmax of 5000 | 45.0 | 45.0 | 45.0 | 1 | 2,000 |

Spearman x 100; mean ± standard deviation over seeds. Rows "of 5000" have that many words, the others 69,692; they \
are scored on the pairs they know, which are fewer and of more frequent words, and compare with each other alone. \
{MACHINE}.
"""

WORDS_COST = {
    "environment": ENVIRONMENT,
    "settings": {"chunks": 8, "threads": 2},
    "measurements": [{"round": turn} for turn in (0, 0, 1, 1)],
    "summary": {
        "negative_sampling": {"step_seconds": {"mean": 0.01, "stdev": 0.001}},
        "per_pair": {"step_seconds": {"mean": 0.03, "stdev": 0.002}, "ratio": {"mean": 3.0, "stdev": 0.1}},
    },
}
WORDS_COST_TABLE = f"""\
|  | ms a step | to batch-shared negative sampling |
| --- | ---: | ---: |
| negative sampling | 10.0 ± 1.0 | 1 |
| per pair | 30.0 ± 2.0 | 3.00 ± 0.10 |

4,096 words a step, 2 threads; mean ± standard deviation over 2 rounds. {MACHINE}.
"""

AVERAGED = {
    "environment": {**ENVIRONMENT, "sentence_transformers": "5.1.0"},
    "measurements": [
        {
            "name": "GloVe",
            "words": 400_000,
            "dimension": 50,
            "scores": dict.fromkeys(sentence_tables.STS_COLUMNS, 0.5),
            "average": 0.5,
        }
    ],
}
AVERAGED_TABLE = """\
| mean of word vectors | STS12 | STS13 | STS14 | STS15 | STS16 | STS-B | SICK-R | Avg. |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| GloVe, 400,000 words, d = 50 | 50.00 | 50.00 | 50.00 | 50.00 | 50.00 | 50.00 | 50.00 | 50.00 |

Spearman x 100, through sentence-transformers 5.1.0.
"""

FILES: dict[str, dict[str, Any]] = {
    "word2vec_cpu": WORD2VEC,
    "words_cost_cpu": WORDS_COST,
    "averaged_vectors": AVERAGED,
    **{f"words_study/{name}": made for name, made in WORDS.items()},
}
EXPECTED = {
    "averaged_vectors": AVERAGED_TABLE,
    "word2vec": WORD2VEC_TABLE,
    "words_study": WORDS_TABLE,
    "words_cost": WORDS_COST_TABLE,
}
