"""Tables of what was measured with encoders beside their peers: speed of encoding, and figures of evaluation."""

from typing import Any

from table_cells import Runs, machine, markdown, plus_minus, rounds

ENCODERS = {"ours": "hf-contrastive encode", "peer": "SentenceTransformer.encode"}
JUDGES = ("ours", "sentence-transformers", "mteb", "reference")


def encode_table(results: Runs) -> str:
    """Speed of `encode` beside the peer's; and what became of the rows of a run that was killed."""
    speed = next(result for result in results if result["file"].startswith("encode_cpu"))
    summary, settings, environment = speed["summary"], speed["settings"], speed["environment"]
    rows = [[label, plus_minus(summary[name]["sentences_per_second"], 1), ""] for name, label in ENCODERS.items()]
    rows[0][2] = plus_minus(summary["ratio"], 2)
    note = (
        f"\n{settings['model']}, {summary['rows']:,} sentences of at most {settings['max_length']} tokens, "
        f"{settings['threads']} threads, {_precision(settings)}; mean ± standard deviation of {rounds(speed)} "
        f"measurements, taken in turns, each in a fresh process; ours with reading, checking and writing. Vectors of "
        f"{summary['rows_compared']:,} rows differ by {summary['largest_difference']:.1e} at most. "
        f"{machine(environment)}, sentence-transformers {environment['sentence_transformers']}.\n"
    )
    killed = "".join(_killed(result) for result in results if result is not speed)
    return markdown(["", "sentences/s", "to the peer"], rows) + note + killed


def _killed(result: dict[str, Any]) -> str:
    """A sentence on a run that was killed twice."""
    made, settings = result["summary"], result["settings"]
    starts = made["starts"]
    lost = "no row was lost, doubled or moved" if made["in_order"] else "ROWS WERE LOST, DOUBLED OR MOVED"
    return (
        f"\nKilled twice on {made['rows']:,} sentences ({settings['model']}, at most {settings['max_length']} tokens, "
        f"{_precision(settings)}), with {starts[0]['left']} and {starts[1]['left']} shards written, and started "
        f"again: {lost}, and 1,000 vectors looked up are the encoder's own within {made['largest_difference']:.0e} of "
        f"their length. {sum(start['seconds'] for start in starts) / 60:.0f} minutes in all. "
        f"{machine(result['environment'])}.\n"
    )


def _precision(settings: dict[str, Any]) -> str:
    return "bfloat16 autocast" if settings["bf16"] else "float32"


def evaluators_table(results: Runs) -> str:
    """Our figures beside those of other evaluators, on the same files."""
    [result] = results
    summary, environment = result["summary"], result["environment"]
    rows = []
    for task, found in summary["tasks"].items():
        for metric in found["ours"]:
            figures = [found.get(judge, {}).get(metric) for judge in JUDGES]
            cells = ["" if figure is None else f"{100 * figure:.2f}" for figure in figures]
            rows.append([f"{task}, {_metric(metric)}", *cells, f"{_largest(found, metric):.0e}"])
    return markdown(["", *JUDGES, "largest difference"], rows) + (
        f"\n{result['settings']['model']}; figures x 100, differences of figures from 0 to 1. {machine(environment)}, "
        f"sentence-transformers {environment['sentence_transformers']}, mteb {environment['mteb']}.\n"
    )


def _metric(name: str) -> str:
    return {"spearman": "Spearman", "f1": "F1"}.get(name, name.replace("ndcg", "nDCG").replace("mrr", "MRR"))


def _largest(found: dict[str, Any], metric: str) -> float:
    ours = found["ours"][metric]
    return max(abs(found[judge][metric] - ours) for judge in JUDGES if metric in found.get(judge, {}))
