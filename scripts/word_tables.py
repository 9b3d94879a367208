"""Tables of what was measured with word vectors."""

from statistics import mean
from typing import Any

from sentence_tables import STS_COLUMNS
from table_cells import Runs, by_name, machine, machines, markdown, mean_sd, percent, plus_minus, rounds

WORD_SETS = ("WS-353", "SimLex-999", "RW")


def word2vec_table(runs: Runs) -> str:
    """Ours and gensim, by epochs."""
    results, rows = runs[0], []
    for epochs, part in results["summary"].items():
        for name, called in (("ours", "hf_contrastive"), ("gensim", "gensim")):
            if name in part:
                figures = part[name]
                cells = [plus_minus(percent(figures["scores"][key]), 1) for key in WORD_SETS]
                speed = [plus_minus(figures[key], 0) for key in ("words_per_second", "seconds")]
                rows.append([f"{called}, {epochs} epochs", *speed, *cells])
        if "ratio" in part:
            rows.append([f"ratio, {epochs} epochs", plus_minus(part["ratio"], 2), "", *[""] * len(WORD_SETS)])
    settings, environment = results["settings"], results["environment"]
    return markdown(["", "words/s", "seconds", *WORD_SETS], rows) + (
        f"\nSkip-gram, d = 100, window 5, K = 5, {settings['threads']} threads, steps of {settings['chunks'] * 512:,} "
        f"words; Spearman x 100; mean ± standard deviation over {rounds(results)} rounds, "
        f"or of one. {machine(environment)}, gensim {environment['gensim']}.\n"
    )


def words_study_table(runs: Runs) -> str:
    """Estimators of word vectors, over their seeds."""
    by_source = by_name(runs)
    rows = []
    for name in sorted(by_source, key=lambda name: ("_of_" in name, -_mean_similarity(by_source[name]))):
        made = by_source[name]
        cells = [mean_sd([100 * _similarity(run, key) for run in made], 1) for key in WORD_SETS]
        rows.append([name.replace("_", " ").replace("-", ", "), *cells, str(len(made)), f"{made[0]['steps']:,}"])
    return markdown(["", *WORD_SETS, "seeds", "steps"], rows) + (
        '\nSpearman x 100; mean ± standard deviation over seeds. Rows "of 5000" have that many words, the others '
        f"{max(run['vocabulary'] for run in runs):,}; they are scored on the pairs they know, which are fewer and of "
        f"more frequent words, and compare with each other alone. {machines(runs)}.\n"
    )


def words_cost_table(runs: Runs) -> str:
    """What an estimator costs a step."""
    results, rows = runs[0], []
    for name, figures in results["summary"].items():
        seconds = {key: 1000 * value for key, value in figures["step_seconds"].items()}
        ratio = plus_minus(figures["ratio"], 2) if "ratio" in figures else "1"
        rows.append([name.replace("_", " "), plus_minus(seconds, 1), ratio])
    settings = results["settings"]
    return markdown(["", "ms a step", "to batch-shared negative sampling"], rows) + (
        f"\n{settings['chunks'] * 512:,} words a step, {settings['threads']} threads; mean ± standard deviation over "
        f"{rounds(results)} rounds. {machine(results['environment'])}.\n"
    )


def _similarity(run: dict[str, Any], name: str) -> float:
    return run["after"]["similarity"]["scores"][name]["spearman"]


def _mean_similarity(runs: Runs) -> float:
    return mean(_similarity(run, WORD_SETS[0]) for run in runs)


def averaged_vectors_table(runs: Runs) -> str:
    """Means of word vectors on STS."""
    results, rows = runs[0], []
    for measured in results["measurements"]:
        scores = [100 * measured["scores"][task] for task in STS_COLUMNS] + [100 * measured["average"]]
        called = f"{measured['name']}, {measured['words']:,} words, d = {measured['dimension']}"
        rows.append([called, *(f"{score:.2f}" for score in scores)])
    return markdown(["mean of word vectors", *STS_COLUMNS.values(), "Avg."], rows) + (
        f"\nSpearman x 100, through sentence-transformers {results['environment']['sentence_transformers']}.\n"
    )
