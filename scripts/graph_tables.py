"""Tables of what was measured with knowledge graphs and hierarchies."""

from table_cells import Runs, by_name, machine, markdown, mean_sd, plus_minus, rounds

KG_CONTESTANTS = {
    "ours": "ours, negatives for each triple",
    "ours_shared": "ours, as many for all triples of a batch",
    "pykeen": "PyKEEN",
}
PARTS = {"train": "training", "evaluate": "filtered evaluation"}


def kg_table(runs: Runs) -> str:
    """Triples a second beside PyKEEN's."""
    results, rows = runs[0], []
    for interaction, parts in results["summary"].items():
        for part, figures in parts.items():
            for name in (name for name in KG_CONTESTANTS if name in figures):
                called = KG_CONTESTANTS[name] if part == "train" or name == "pykeen" else "ours"
                rate, ratio = figures[name]["triples_per_second"], figures[name].get("ratio")
                row = [
                    f"{interaction}, {PARTS[part]}: {called}",
                    plus_minus(rate, 0),
                    plus_minus(ratio, 2) if ratio else "",
                ]
                rows.append(row)
    settings, environment = results["settings"], results["environment"]
    return markdown(["", "triples/s", "to PyKEEN"], rows) + (
        f"\n{settings['graph']}, d = {settings['dimension']}, batch {settings['batch']}, {settings['negatives']} "
        f"negatives a triple, {settings['threads']} threads; mean ± standard deviation over {rounds(results)} rounds "
        f"in turns. {machine(environment)}, PyKEEN {environment['pykeen']}.\n"
    )


def kg_study_table(runs: Runs) -> str:
    """Sources of negatives by graph and model, over their seeds."""
    rows = [
        [", ".join(name.replace("_", " ").rsplit("-", 2)), *_link_prediction(made)]
        for name, made in by_name(runs).items()
    ]
    return markdown(["", "MRR", "Hits@10", "seconds of training", "seeds", "steps"], rows) + (
        f"\nFiltered, test, x 100; mean ± standard deviation over seeds. {machine(runs[0]['environment'])}.\n"
    )


def recipes_table(runs: Runs) -> str:
    """What recipes of graphs and hierarchies reach on test."""
    rows = []
    for name, made in by_name(runs).items():
        if "both" in made[0]["after"]:
            mrr, hits, _, seeds, _ = _link_prediction(made)
            reached = f"MRR {mrr}, Hits@10 {hits}"
        else:
            reached, seeds = f"accuracy {mean_sd([100 * run['after']['accuracy'] for run in made], 1)}", str(len(made))
        minutes = mean_sd([run["train_seconds"] / 60 for run in made], 1)
        rows.append([f"`recipes/{name.replace('-', '/', 1)}.yaml`", reached, minutes, seeds])
    return markdown(["", "test", "minutes of training", "seeds"], rows) + (
        f"\nx 100, filtered ranks; mean ± standard deviation over seeds. {machine(runs[0]['environment'])}.\n"
    )


def _link_prediction(made: Runs) -> list[str]:
    cells = [mean_sd([100 * run["after"]["both"][key] for run in made], 1) for key in ("mrr", "hits_at_10")]
    seconds = mean_sd([run["train_seconds"] for run in made], 0)
    return [*cells, seconds, str(len(made)), f"{made[0]['steps']:,}"]


def hypernymy_study_table(runs: Runs) -> str:
    """Sources of negatives by protocol, over their seeds."""
    rows = []
    for name, made in by_name(runs).items():
        accuracy = mean_sd([100 * run["after"]["accuracy"] for run in made], 1)
        seconds = mean_sd([run["train_seconds"] for run in made], 0)
        rows.append([name.replace("_", " ").replace("-", ", "), accuracy, seconds, str(len(made))])
    return markdown(["", "accuracy", "seconds of training", "seeds"], rows) + (
        f"\nTest, x 100, threshold chosen on dev; mean ± standard deviation over seeds. "
        f"{machine(runs[0]['environment'])}.\n"
    )
