"""Made-up results of graphs and hierarchies, and the tables that are made of them."""

from typing import Any

from made_up_results import ENVIRONMENT, MACHINE


def rate(triples: float, ratio: float | None = None) -> dict[str, Any]:
    figures = {"triples_per_second": {"mean": triples, "stdev": 10.0}}
    return figures | ({"ratio": {"mean": ratio, "stdev": 0.1}} if ratio else {})


KG = {
    "environment": {**ENVIRONMENT, "pykeen": "1.11.1"},
    "settings": {"graph": "WN18RR", "dimension": 128, "batch": 512, "negatives": 32, "threads": 2},
    "measurements": [
        *({"interaction": "transe", "round": turn} for turn in (0, 1, 2, 2)),
        *({"interaction": "rotate", "round": turn} for turn in (0, 1, 1)),
    ],
    "summary": {
        "transe": {
            "train": {"target": 2.0, "ours": rate(2e4, 2.0), "ours_shared": rate(4e4, 4.0), "pykeen": rate(1e4)},
            "evaluate": {"target": 2.0, "ours": rate(600.0, 20.0), "pykeen": rate(30.0)},
        }
    },
}
KG_TABLE = f"""\
|  | triples/s | to PyKEEN |
| --- | ---: | ---: |
| transe, training: ours, negatives for each triple | 20,000 ± 10 | 2.00 ± 0.10 |
| transe, training: ours, as many for all triples of a batch | 40,000 ± 10 | 4.00 ± 0.10 |
| transe, training: PyKEEN | 10,000 ± 10 |  |
| transe, filtered evaluation: ours | 600 ± 10 | 20.00 ± 0.10 |
| transe, filtered evaluation: PyKEEN | 30 ± 10 |  |

WN18RR, d = 128, batch 512, 32 negatives a triple, 2 threads; mean ± standard deviation over 2 to 3 rounds in \
turns. {MACHINE}, PyKEEN 1.11.1.
"""


def graph_run(score: float, seconds: float = 30.0) -> dict[str, Any]:
    after = {"both": {"mrr": score, "hits_at_10": 0.5}, "accuracy": score}
    curve = [
        {"eval_mrr": share * score, "eval_accuracy": share * score, "step": 3000 * share} for share in (0.25, 0.5, 1)
    ]
    curve = [{**entry, "eval_after_train_seconds": seconds * entry["step"] / 3000} for entry in curve]
    return {"after": after, "curve": curve, "steps": 3000, "train_seconds": seconds, "environment": ENVIRONMENT}


KG_STUDY = {
    "FB15k-237-transe-ace-42": graph_run(0.4, 60.0),
    "FB15k-237-transe-uniform-42": graph_run(0.3),
    "FB15k-237-transe-uniform-43": graph_run(0.5),
}
GRAPH_COSTS = {
    "summary": {
        name: {"step_seconds": {"mean": seconds}}
        for name, seconds in {
            "FB15k-237-transe-ace": 0.06,
            "FB15k-237-transe-uniform": 0.03,
            "filtered-uniform_1": 0.01,
        }.items()
    }
}
STUDY_CAPTION = (
    "Mean ± standard deviation over seeds. Cost: seconds a step beside the plain source's, measured in turns."
)
KG_STUDY_TABLE = f"""\
|  | test MRR | test Hits@10 | valid MRR | at equal time | cost | seeds | steps |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| FB15k-237, transe, ace | 40.0 | 50.0 | 40.0 | 20.0 | 2.00 | 1 | 3,000 |
| FB15k-237, transe, uniform | 40.0 ± 14.1 | 50.0 | 40.0 ± 14.1 | 40.0 ± 14.1 | 1.00 | 2 | 3,000 |

{STUDY_CAPTION} At equal time: after as many steps, divided by the cost where that is above 1. Filtered \
ranks, x 100. {MACHINE}.
"""
HYPERNYMY = {"path_counted-uniform_1-42": graph_run(0.9)}
HYPERNYMY_TABLE = f"""\
|  | test | dev | cost | seeds | steps |
| --- | ---: | ---: | ---: | ---: | ---: |
| path counted, uniform 1 | 90.0 | 90.0 | 1.00 | 1 | 3,000 |

{STUDY_CAPTION} Accuracy x 100, threshold chosen on dev. {MACHINE}.
"""
ORDER_RUN = {**graph_run(0.9, 90.0), "after": {"accuracy": 0.9}}
RECIPES = {"hypernymy-wordnet-42": ORDER_RUN, "kg-wn18rr-complex-42": graph_run(0.45, 45.0)}
RECIPES_TABLE = f"""\
|  | test | minutes of training | cores | seeds |
| --- | ---: | ---: | ---: | ---: |
| `recipes/hypernymy/wordnet.yaml` | accuracy 90.0 | 1.5 | 2 | 1 |
| `recipes/kg/wn18rr-complex.yaml` | MRR 45.0, Hits@10 50.0 | 0.8 | 2 | 1 |

x 100, filtered ranks; mean ± standard deviation over seeds. {MACHINE}.
"""

FILES: dict[str, dict[str, Any]] = {
    "kg_cpu": KG,
    "graph_costs_cpu": GRAPH_COSTS,
    **{f"kg_study/{name}": made for name, made in KG_STUDY.items()},
    **{f"hypernymy_study/{name}": made for name, made in HYPERNYMY.items()},
    **{f"recipes/{name}": made for name, made in RECIPES.items()},
}
EXPECTED = {
    "kg": KG_TABLE,
    "kg_study": KG_STUDY_TABLE,
    "hypernymy_study": HYPERNYMY_TABLE,
    "recipes": RECIPES_TABLE,
}
