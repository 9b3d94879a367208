"""Tables of what was measured with sentence encoders."""

from statistics import mean

from table_cells import Runs, by_name, machine, machines, markdown, mean_sd, plus_minus, rounds

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


def simcse_table(runs: Runs) -> str:
    """Scores before, and after over the seeds of each recipe."""
    recipes = dict(sorted(by_name(runs).items(), reverse=True))  # unsup before sup
    before = {run["before"]["name"]: [run["before"]] for run in runs}
    after = {name: [run["after"] for run in made] for name, made in recipes.items()}
    rows = [[name, *_scores(measured)] for name, measured in (before | after).items()]
    cost = "; ".join(
        f"{name}: seeds {', '.join(sorted((run['file'].rpartition('-')[2] for run in made), key=int))}, "
        f"{made[0]['steps']} steps, {mean_sd([run['train_seconds'] for run in made], 0)} seconds of training a run"
        for name, made in recipes.items()
    )
    return markdown(["", *STS_COLUMNS.values(), "Avg.", "STS-B dev"], rows) + (
        f"\nSpearman x 100; mean ± standard deviation over seeds. {cost}. {machines(runs)}.\n"
    )


def _scores(measured: Runs) -> list[str]:
    columns = [[m["sts"]["scores"][task]["spearman"] for m in measured] for task in STS_COLUMNS]
    columns.append([m["sts"]["average"] for m in measured])
    columns.append([m["dev"]["dev_spearman"] for m in measured])
    return [mean_sd([100 * value for value in values], 2) for values in columns]


def sentence_training_table(results: Runs) -> str:
    """Speed and memory of ours and the peer."""
    [result] = results
    summary, settings, environment = result["summary"], result["settings"], result["environment"]
    rows = []
    for name, figures in summary["contestants"].items():
        speed, against = figures["sentences_per_second"], summary["ours_against"].get(name)
        ratio = plus_minus(against["speed_ratio"], 2) if against else ""
        rows.append([CONTESTANTS[name], plus_minus(speed, 1), ratio, f"{figures['peak_bytes']['mean'] / 1e9:.2f} GB"])
    chunks = f"ours in chunks of {settings['chunk_size']}, " if settings["chunk_size"] else ""
    precision = "bfloat16 autocast" if settings["bf16"] else "float32"
    pairs = summary["contestants"]["ours"]["measurements"]
    return markdown(["", "sentences/s", "ours / it", "peak memory"], rows) + (
        f"\n{settings['model']}, batch {settings['batch_size']}, {settings['max_length']} tokens, "
        f"{chunks}{precision}; mean ± standard deviation of {pairs} measurements of {settings['steps']} steps, taken "
        f"in turns, each in a fresh process. {machine(environment)}, sentence-transformers "
        f"{environment['sentence_transformers']}.\n"
    )


def memory_table(results: Runs) -> str:
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
    return markdown(["forward and backward pass", *MEMORY_COLUMNS.values()], rows) + (
        f"\n{settings['model']}; peak of resident memory beyond weights, gradients and inputs. With recomputed chunks "
        f"the Trainer returns freed memory to the system, else it keeps it for the next step, which is faster. "
        f"{machine(result['environment'])}.\n"
    )


def onnx_table(results: Runs) -> str:
    """Speed of an exported checkpoint beside torch."""
    [result] = results
    summary, settings, environment = result["summary"], result["settings"], result["environment"]
    rows = [[name, plus_minus(summary[name]["sentences_per_second"], 1), ""] for name in ("onnxruntime", "torch")]
    rows[0][2] = plus_minus(summary["ratio"], 2)
    return markdown(["", "sentences/s", "to torch"], rows) + (
        f"\n{settings['model']}, {settings['rows']:,} sentences of at most {settings['max_length']} tokens in batches "
        f"of {settings['batch_size']}, {settings['threads']} threads, float32; mean ± standard deviation of "
        f"{rounds(result)} measurements, taken in turns, each in a fresh process. Vectors differ by "
        f"{summary['largest_difference']:.1e} of their length at most. {machine(environment)}, onnxruntime "
        f"{environment['onnxruntime']}.\n"
    )


def negatives_cost_table(results: Runs) -> str:
    """Step of each source of negatives beside the plain step."""
    [result] = results
    settings = result["settings"]
    rows = []
    for name, figures in result["summary"].items():
        ratio = plus_minus(figures["ratio"], 2) if "ratio" in figures else ""
        rows.append([SOURCES.get(name, name), plus_minus(figures["step_seconds"], 2), ratio])
    return markdown(["", "seconds a step", "to the plain step"], rows) + (
        f"\n{settings['model']}, batch {settings['batch_size']}, {settings['max_length']} tokens, pool of "
        f"{settings['bank_size']:,}; median of {settings['steps']} steps, mean ± standard deviation of "
        f"{rounds(result)} rounds in turns, each in a fresh process. {machine(result['environment'])}.\n"
    )


def negatives_study_table(runs: Runs) -> str:
    """Sources of negatives by setting, over their seeds."""
    by_source = by_name(runs)
    rows = []
    for name in sorted(by_source, key=lambda name: (name.partition("-")[0], -_mean_dev(by_source[name]))):
        made = by_source[name]
        setting, _, source = name.partition("-")
        figures = [
            [run["after"]["dev"]["dev_spearman"] for run in made],
            [run["after"]["test"]["spearman"] for run in made],
            [run["after"]["sts"]["average"] for run in made if run["after"].get("sts")],
        ]
        cells = [mean_sd([100 * value for value in values], 2) if values else "" for values in figures]
        name = f"{setting} {source.replace('-', ', ').replace('_', ' ')}"
        rows.append([name, *cells, str(len(made)), str(made[0]["steps"])])
    return markdown(["", "STS-B dev", "STS-B", "Avg.", "seeds", "steps"], rows) + (
        f"\nSpearman x 100; mean ± standard deviation over seeds. {machines(runs)}.\n"
    )


def geometry_table(results: Runs) -> str:
    """Geometry of models beside each other."""
    [result] = results
    rows = []
    for name, made in result["summary"].items():
        scores = [f"{100 * made[key]:.2f}" for key in ("spearman", "test_spearman")]
        others = [f"{made[key]:.2f}" for key in ("alignment", "uniformity", "mean_cosine")]
        rank = f"{made['effective_rank']:.0f} of {made['dimension']}"
        rows.append([name, made["made_by"], *scores, *others, rank])
    settings = result["settings"]
    header = ["", "made by", "STS-B dev", "STS-B", "alignment", "uniformity", "mean cosine", "effective rank"]
    return markdown(header, rows) + (
        f"\nSpearman x 100; all else on the {settings['sentences']:,} sentences of STS-B dev; encoded in "
        f"{'bfloat16' if settings['bf16'] else 'float32'}. {machine(result['environment'])}.\n"
    )


def _mean_dev(runs: Runs) -> float:
    return mean(run["after"]["dev"]["dev_spearman"] for run in runs)
