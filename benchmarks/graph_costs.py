"""What a source of negatives costs a step in the studies of graphs and hierarchies, one thread, all in turns.

    HF_CONTRASTIVE_DATA=FOLDER python benchmarks/graph_costs.py

Equal time in those studies is counted by these seconds, so they want a machine that does nothing else. Killed and
started again with the same settings, it goes on where it stopped.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import hypernymy_study
import kg_study
import typer
from harness import (
    RESULTS,
    Measurement,
    Results,
    plus_minus,
    run_child,
    same_round,
    spread,
    start,
    take_turns,
    turns,
)
from rich.console import Console
from rich.table import Table

OUTPUT = RESULTS / "graph_costs_cpu.json"
# What is compared with each other: the recipe and, by source, what it is run with. Both protocols cost the same.
GROUPS: dict[str, tuple[Path, dict[str, list[str]]]] = {
    **{
        f"{graph}-{model}": (
            kg_study.RECIPE,
            {source: kg_study.overrides_of(graph, model, source) for source in kg_study.SOURCES},
        )
        for graph in kg_study.GRAPHS
        for model in kg_study.MODELS
    },
    "filtered": (
        hypernymy_study.RECIPE,
        {source: hypernymy_study.overrides_of("filtered", source) for source in hypernymy_study.SOURCES},
    ),
}
PLAIN = {"filtered": hypernymy_study.PLAIN}  # of graphs, uniform


def main(
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed.")] = 60,
    warmup: Annotated[int, typer.Option(min=1, help="Steps before them.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each source.")] = 3,
    groups: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(GROUPS)}.")] = None,
    output: Annotated[Path, typer.Option(help="JSON file.")] = OUTPUT,
) -> None:
    """Measure, print the table, write the JSON."""
    results = Results(output, {"threads": 1, "steps": steps, "warmup": warmup}, ["accelerate"], summarise)
    compare(results, {"steps": steps, "warmup": warmup}, rounds, groups or list(GROUPS))
    show(results.summary)


def compare(
    results: Results,
    settings: dict[str, Any],
    rounds: int,
    groups: list[str],
    run: Callable[..., Measurement] = run_child,
) -> None:
    """Make the measurements that `results` lack; a process takes all sources of a group, one after the other."""
    script = Path(__file__).with_name("graph_costs_contestant.py")

    def measure(key: dict[str, Any]) -> Measurement:
        recipe, sources = GROUPS[key["group"]]
        return run(script, {**settings, "recipe": str(recipe), "sources": sources}, {"OMP_NUM_THREADS": "1"})

    take_turns(results, turns(round=range(rounds), group=groups), measure)


def summarise(measurements: list[Measurement]) -> dict[str, Any]:
    """By GROUP-SOURCE: seconds a step, and their ratio to those of the plain source of the same round."""
    seconds: dict[str, dict[int, float]] = {}
    for made in measurements:
        for source, value in made["step_seconds"].items():
            seconds.setdefault(f"{made['group']}-{source}", {})[made["round"]] = value
    summary = {}
    for name, by_round in seconds.items():
        group = name.rpartition("-")[0]
        plain = seconds[f"{group}-{PLAIN.get(group, 'uniform')}"]
        summary[name] = {
            "step_seconds": spread(list(by_round.values())),
            "ratio": spread(same_round(by_round, plain)),
        }
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    table = Table("", "ms a step", "to the plain source", title="one thread")
    for name, figures in summary.items():
        table.add_row(name, plus_minus(figures["step_seconds"], 1, 1000), plus_minus(figures["ratio"], 2))
    Console().print(table)


if __name__ == "__main__":
    start(main)
