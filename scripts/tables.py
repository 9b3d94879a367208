"""Rewrite the tables in README.md and docs/ from what the benchmarks measured.

    python scripts/tables.py            write
    python scripts/tables.py --check    change nothing; exit 1 where a table is out of date or its JSON is missing

A table stands between `<!-- table: NAME -->` and `<!-- end: NAME -->`, NAME being one of `TABLES`.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end: \2 -->)", re.DOTALL)
MARKER = re.compile(r"<!-- (?:table|end): ")
STS_COLUMNS = {name: name for name in ("STS12", "STS13", "STS14", "STS15", "STS16")}
STS_COLUMNS |= {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R"}
MEMORY_COLUMNS = {"return": "freed memory returned", "keep": "freed memory kept", "target": "target"}
CONTESTANTS = {
    "ours": "hf_contrastive",
    "peer": "sentence-transformers",
    "peer_allocator": "sentence-transformers, our allocator settings",
}

SOURCES = {
    "in_batch": "the batch alone",
    "queue": "queue",
    "self_adversarial": "self-adversarial weights on the queue",
    "random_fresh": "random, a quarter of a batch encoded anew",
    "ace_exact": "adversarial over the pool",
    "ace_exact_fresh": "adversarial, a quarter of a batch encoded anew",
    "ace_reinforce": "adversarial, REINFORCE",
}


class TableError(Exception):
    """A table that cannot be made; the message names file and remedy."""


def main(
    check: Annotated[bool, typer.Option("--check", help="Change nothing, exit 1 if anything would.")] = False,
) -> None:
    """Rewrite the tables in README.md and docs/ from benchmarks/results."""
    try:
        stale = update(ROOT, write=not check)
    except TableError as error:
        raise SystemExit(f"error: {error}") from error
    if stale and check:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        raise SystemExit(f"error: {names}: tables out of date; run `python scripts/tables.py`")


def update(root: Path, write: bool) -> list[Path]:
    """Files under `root` whose tables are not what the results say; written anew if `write`."""
    stale = []
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        new = with_tables(text, root / "benchmarks" / "results", where=str(path.relative_to(root)))
        if new != text:
            stale.append(path)
            if write:
                path.write_text(new, encoding="utf-8")
    return stale


def with_tables(text: str, results: Path, where: str) -> str:
    """`text` with every block filled from the JSON files under `results`.

    Raises:
        TableError: a marker without its partner, an unknown table, or a table whose JSON is missing.
    """
    if len(MARKER.findall(text)) != 2 * len(BLOCK.findall(text)):
        raise TableError(f"{where}: each `<!-- table: NAME -->` needs an `<!-- end: NAME -->` after it")

    def fill(block: re.Match[str]) -> str:
        begin, name, _, end = block.groups()
        if name not in TABLES:
            raise TableError(f"{where}: unknown table {name!r}; choose from {', '.join(TABLES)}")
        make, source = TABLES[name]
        return begin + make(read(results / source, where, name)) + end

    return BLOCK.sub(fill, text)


def read(source: Path, where: str, name: str) -> list[dict[str, Any]]:
    """The JSON file, or those of the folder, sorted by name; a run's file name is its key `file`."""
    paths = sorted(source.glob("*.json")) if source.is_dir() else [source]
    if not paths or not paths[0].is_file():
        raise TableError(f"{where}: table {name} is made from {source}, which is missing; see benchmarks/README.md")
    return [{"file": path.stem, **json.loads(path.read_text(encoding="utf-8"))} for path in paths]


def simcse_table(runs: list[dict[str, Any]]) -> str:
    """Scores before, and after over the seeds of each recipe."""
    recipes = dict(sorted(_by_name(runs).items(), reverse=True))  # unsup before sup
    before = {run["before"]["name"]: [run["before"]] for run in runs}
    after = {name: [run["after"] for run in made] for name, made in recipes.items()}
    rows = [[name, *_scores(measured)] for name, measured in (before | after).items()]
    cost = "; ".join(
        f"{name}: seeds {', '.join(sorted((run['file'].rpartition('-')[2] for run in made), key=int))}, "
        f"{made[0]['steps']} steps, {_mean_sd([run['train_seconds'] for run in made], 0)} seconds of training a run"
        for name, made in recipes.items()
    )
    return _markdown(["", *STS_COLUMNS.values(), "Avg.", "STS-B dev"], rows) + (
        f"\nSpearman x 100; mean ± standard deviation over seeds. {cost}. {_machine(runs[0]['environment'])}.\n"
    )


def _scores(measured: list[dict[str, Any]]) -> list[str]:
    columns = [[m["sts"]["scores"][task]["spearman"] for m in measured] for task in STS_COLUMNS]
    columns.append([m["sts"]["average"] for m in measured])
    columns.append([m["dev"]["dev_spearman"] for m in measured])
    return [_mean_sd([100 * value for value in values], 2) for values in columns]


def sentence_training_table(results: list[dict[str, Any]]) -> str:
    """Speed and memory of ours and the peer."""
    [result] = results
    summary, settings, environment = result["summary"], result["settings"], result["environment"]
    rows = []
    for name, figures in summary["contestants"].items():
        speed, against = figures["sentences_per_second"], summary["ours_against"].get(name)
        ratio = _plus_minus(against["speed_ratio"], 2) if against else ""
        rows.append([CONTESTANTS[name], _plus_minus(speed, 1), ratio, f"{figures['peak_bytes']['mean'] / 1e9:.2f} GB"])
    chunks = f"ours in chunks of {settings['chunk_size']}, " if settings["chunk_size"] else ""
    precision = "bfloat16 autocast" if settings["bf16"] else "float32"
    pairs = summary["contestants"]["ours"]["measurements"]
    return _markdown(["", "sentences/s", "ours / it", "peak memory"], rows) + (
        f"\n{settings['model']}, batch {settings['batch_size']}, {settings['max_length']} tokens, "
        f"{chunks}{precision}; mean ± standard deviation of {pairs} measurements of {settings['steps']} steps, taken "
        f"in turns, each in a fresh process. {_machine(environment)}, sentence-transformers "
        f"{environment['sentence_transformers']}.\n"
    )


def memory_table(results: list[dict[str, Any]]) -> str:
    """Memory of one step beyond weights and gradients."""
    [result] = results
    settings = result["settings"]
    batch = (
        f"{settings['batch_size']:,} pairs of {settings['max_length']} tokens in chunks of {settings['chunk_size']}"
    )
    labels = {
        "batch float32": f"{batch}, float32",
        "batch bf16": f"{batch}, bfloat16 autocast",
        "loss": f"the loss alone, {settings['batch_size']:,} pairs of {settings['width']} numbers, float32",
    }
    rows = [
        [labels[step], *(f"{figures[key] / 1e6:,.0f} MB" if key in figures else "" for key in MEMORY_COLUMNS)]
        for step, figures in result["summary"].items()
    ]
    return _markdown(["forward and backward pass", *MEMORY_COLUMNS.values()], rows) + (
        f"\n{settings['model']}; peak of resident memory beyond weights, gradients and inputs. With recomputed chunks "
        f"the Trainer returns freed memory to the system, else it keeps it for the next step, which is faster. "
        f"{_machine(result['environment'])}.\n"
    )


def negatives_cost_table(results: list[dict[str, Any]]) -> str:
    """Step of each source of negatives beside the plain step."""
    [result] = results
    settings = result["settings"]
    rows = []
    for name, figures in result["summary"].items():
        ratio = _plus_minus(figures["ratio"], 2) if "ratio" in figures else ""
        rows.append([SOURCES.get(name, name), _plus_minus(figures["step_seconds"], 2), ratio])
    rounds = len({measurement["round"] for measurement in result["measurements"]})
    return _markdown(["", "seconds a step", "to the plain step"], rows) + (
        f"\n{settings['model']}, batch {settings['batch_size']}, {settings['max_length']} tokens, pool of "
        f"{settings['bank_size']:,}; median of {settings['steps']} steps, mean ± standard deviation of {rounds} "
        f"rounds in turns, each in a fresh process. {_machine(result['environment'])}.\n"
    )


def negatives_study_table(runs: list[dict[str, Any]]) -> str:
    """Sources of negatives by setting, over their seeds."""
    by_source = _by_name(runs)
    rows = []
    for name in sorted(by_source, key=lambda name: (name.partition("-")[0], -_mean_dev(by_source[name]))):
        made = by_source[name]
        setting, _, source = name.partition("-")
        figures = [
            [run["after"]["dev"]["dev_spearman"] for run in made],
            [run["after"]["test"]["spearman"] for run in made],
            [run["after"]["sts"]["average"] for run in made if run["after"].get("sts")],
        ]
        cells = [_mean_sd([100 * value for value in values], 2) if values else "" for values in figures]
        name = f"{setting} {source.replace('-', ', ').replace('_', ' ')}"
        rows.append([name, *cells, str(len(made)), str(made[0]["steps"])])
    return _markdown(["", "STS-B dev", "STS-B", "Avg.", "seeds", "steps"], rows) + (
        f"\nSpearman x 100; mean ± standard deviation over seeds. {_machine(runs[0]['environment'])}.\n"
    )


def _mean_dev(runs: list[dict[str, Any]]) -> float:
    return mean(run["after"]["dev"]["dev_spearman"] for run in runs)


WORD_SETS = ("WS-353", "SimLex-999", "RW")


def word2vec_table(runs: list[dict[str, Any]]) -> str:
    """Ours and gensim, by epochs."""
    results, rows = runs[0], []
    for epochs, part in results["summary"].items():
        for name, called in (("ours", "hf_contrastive"), ("gensim", "gensim")):
            if name in part:
                figures = part[name]
                cells = [_plus_minus(_percent(figures["scores"][key]), 1) for key in WORD_SETS]
                rate = f"{figures['words_per_second']['mean']:,.0f} ± {figures['words_per_second']['stdev']:,.0f}"
                rows.append([f"{called}, {epochs} epochs", rate, _plus_minus(figures["seconds"], 0), *cells])
        if "ratio" in part:
            rows.append([f"ratio, {epochs} epochs", _plus_minus(part["ratio"], 2), "", *[""] * len(WORD_SETS)])
    settings, environment = results["settings"], results["environment"]
    return _markdown(["", "words/s", "seconds", *WORD_SETS], rows) + (
        f"\nSkip-gram, d = 100, window 5, K = 5, {settings['threads']} threads, steps of {settings['chunks'] * 512:,} "
        f"words; Spearman x 100; mean ± standard deviation over {_rounds(results)} rounds. "
        f"{_machine(environment)}, gensim {environment['gensim']}.\n"
    )


def words_study_table(runs: list[dict[str, Any]]) -> str:
    """Estimators of word vectors, over their seeds."""
    by_source = _by_name(runs)
    rows = []
    for name in sorted(by_source, key=lambda name: -_mean_similarity(by_source[name])):
        made = by_source[name]
        cells = [_mean_sd([100 * _similarity(run, key) for run in made], 1) for key in WORD_SETS]
        rows.append([name.replace("_", " ").replace("-", ", "), *cells, str(len(made)), f"{made[0]['steps']:,}"])
    return _markdown(["", *WORD_SETS, "seeds", "steps"], rows) + (
        "\nSpearman x 100; mean ± standard deviation over seeds. Full softmax has a vocabulary of 5,000 words, the "
        f"others of {max(run['vocabulary'] for run in runs):,}. {_machine(runs[0]['environment'])}.\n"
    )


def words_cost_table(runs: list[dict[str, Any]]) -> str:
    """What an estimator costs a step."""
    results, rows = runs[0], []
    for name, figures in results["summary"].items():
        seconds = {key: 1000 * value for key, value in figures["step_seconds"].items()}
        ratio = _plus_minus(figures["ratio"], 2) if "ratio" in figures else "1"
        rows.append([name.replace("_", " "), _plus_minus(seconds, 1), ratio])
    settings = results["settings"]
    return _markdown(["", "ms a step", "to batch-shared negative sampling"], rows) + (
        f"\n{settings['chunks'] * 512:,} words a step, {settings['threads']} threads; mean ± standard deviation over "
        f"{_rounds(results)} rounds. {_machine(results['environment'])}.\n"
    )


def _rounds(results: dict[str, Any]) -> int:
    return len({measurement["round"] for measurement in results["measurements"]})


def _similarity(run: dict[str, Any], name: str) -> float:
    return run["after"]["similarity"]["scores"][name]["spearman"]


def _mean_similarity(runs: list[dict[str, Any]]) -> float:
    return mean(_similarity(run, WORD_SETS[0]) for run in runs)


def _by_name(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Runs by the name of their file, without the seed behind it."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        grouped.setdefault(run["file"].rpartition("-")[0], []).append(run)
    return grouped


def _percent(figures: dict[str, float]) -> dict[str, float]:
    return {key: 100 * value for key, value in figures.items()}


TABLES: dict[str, tuple[Callable[[list[dict[str, Any]]], str], str]] = {
    "simcse_distilbert": (simcse_table, "simcse_distilbert"),
    "sentence_training": (sentence_training_table, "sentence_training_cpu.json"),
    "memory": (memory_table, "memory_cpu.json"),
    "negatives_study": (negatives_study_table, "negatives_study"),
    "word2vec": (word2vec_table, "word2vec_cpu.json"),
    "words_study": (words_study_table, "words_study"),
    "words_cost": (words_cost_table, "words_cost_cpu.json"),
    "negatives_cost": (negatives_cost_table, "negatives_cost_cpu.json"),
}


def _mean_sd(values: Sequence[float], digits: int) -> str:
    return (
        _plus_minus({"mean": mean(values), "stdev": stdev(values)}, digits)
        if values[1:]
        else f"{values[0]:.{digits}f}"
    )


def _plus_minus(figures: dict[str, float], digits: int) -> str:
    return f"{figures['mean']:.{digits}f} ± {figures['stdev']:.{digits}f}"


def _machine(environment: dict[str, Any]) -> str:
    device = ", ".join([*environment["gpus"], environment["cpu"]])
    versions = f"torch {environment['torch']}, transformers {environment['transformers']}"
    return f"{device}, {environment['cores']} cores, {versions}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    typer.run(main)
