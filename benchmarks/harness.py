"""What the benchmarks share: a process a measurement, results that survive a kill, and how they are summed up."""

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from hf_contrastive.errors import ContrastiveError, RecipeError
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

Measurement = dict[str, Any]

# Options that several benchmarks have.
CHECKPOINT = "distilbert-base-cased"
Checkpoint = Annotated[str, typer.Option(envvar="HF_CONTRASTIVE_CHECKPOINT", help="Folder or Hub name.")]
SentencesFile = Annotated[
    Path | None, typer.Option(help="Text file; default: ${HF_CONTRASTIVE_DATA}/sentences/wiki_en.txt.gz.")
]


def run_child(script: Path, arguments: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> Measurement:
    """Run `python SCRIPT ARGUMENTS` in a fresh process; the last line it prints is the measurement.

    Args:
        script: takes one argument, a JSON object, and prints another.
        variables: added to the environment.

    Raises:
        RuntimeError: the process failed; carries the end of what it wrote to stderr.
    """
    command = [sys.executable, str(script), json.dumps(arguments)]
    done = subprocess.run(command, env={**os.environ, **(variables or {})}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script.name} {command[-1]}: exit status {done.returncode}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def one_gpu() -> dict[str, str]:
    """Variables with which a child sees no GPU but the first: with more, Trainers split their batches."""
    return {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]}


def process_memory(key: str) -> int:
    """Bytes of this process on Linux: `VmRSS`, resident now, or `VmHWM`, the most so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, sample standard deviation (0 of a single value), least and most."""
    return {
        "mean": statistics.fmean(values),
        "stdev": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }


def same_round(made: Mapping[int, float], peer: Mapping[int, float]) -> list[float]:
    """Ratios of figures by round, of the rounds that both have."""
    return [made[turn] / peer[turn] for turn in sorted(made.keys() & peer.keys())]


def plus_minus(figures: Mapping[str, float], digits: int, scale: float = 1) -> str:
    """Mean and standard deviation of a `spread`, each times `scale`."""
    return f"{scale * figures['mean']:,.{digits}f} ± {scale * figures['stdev']:,.{digits}f}"


class Results:
    """Measurements in a JSON file that is written anew after each; a rerun with the same settings goes on from there.

    Args:
        path: holds `environment`, `settings`, `measurements`, `summary`.
        settings: everything that a measurement depends on.
        packages: whose versions are noted beside those of `environment()`.
        summarise: from the measurements so far to `summary`.

    Raises:
        RecipeError: the file holds measurements of other settings, or of another machine or version.
    """

    def __init__(
        self,
        path: Path,
        settings: dict[str, Any],
        packages: Sequence[str],
        summarise: Callable[[list[Measurement]], dict[str, Any]],
    ) -> None:
        self.path = path
        self.summarise = summarise
        versions = {name.replace("-", "_"): version(name) for name in packages}
        self.head = without_paths({"environment": {**environment(), **versions}, "settings": settings})
        self.measurements: list[Measurement] = []
        if path.is_file():
            old = json.loads(path.read_text(encoding="utf-8"))
            refuse_differences(
                path, old["environment"] | old["settings"], self.head["environment"] | self.head["settings"]
            )
            self.measurements = old["measurements"]

    def has(self, **key: Any) -> bool:
        """Whether a measurement with these fields was made."""
        return any(key.items() <= measurement.items() for measurement in self.measurements)

    def add(self, measurement: Measurement) -> None:
        """Append and write."""
        self.measurements.append(measurement)
        write_json(self.path, {**self.head, "measurements": self.measurements, "summary": self.summary})

    @property
    def summary(self) -> dict[str, Any]:
        """What `summarise` makes of the measurements so far."""
        return self.summarise(self.measurements)


def turns(**of: Iterable[Any]) -> list[dict[str, Any]]:
    """A key for each combination, the last of which changes first."""
    return [dict(zip(of, values, strict=True)) for values in product(*of.values())]


def take_turns(
    results: Results, keys: Iterable[dict[str, Any]], measure: Callable[[dict[str, Any]], Measurement]
) -> None:
    """Make the measurements that `results` lack, one after the other; each is known by its key, which it gets."""
    missing = [key for key in keys if not results.has(**key)]
    for key in track(missing, "measuring", console=Console(stderr=True)):
        results.add({**key, **measure(key)})


def measured_ratio(path: Path, name: str) -> float:
    """How much longer a step takes by a summary of costs than a plain one, at least 1; 1 of what it does not name.

    Raises:
        RecipeError: the benchmark that writes `path` has not run.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: not there; run benchmarks/{path.stem.rpartition('_')[0]}.py first")
    figures = json.loads(path.read_text(encoding="utf-8"))["summary"].get(name, {})
    return max(1.0, figures.get("ratio", {"mean": 1.0})["mean"])


def refuse_differences(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise `RecipeError` unless what `path` was measured under is what is asked for now."""
    changed = [
        f"{key} ({old.get(key, 'not set')} -> {new.get(key, 'not set')})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if changed:
        raise RecipeError(
            f"{path} was measured under other settings, which differ in {', '.join(changed)}; "
            "choose another --output, or delete that file to measure anew"
        )


def without_paths(value: Any) -> Any:
    """`value` without the paths of this machine in any of its strings.

    The folders behind `HF_CONTRASTIVE_DATA` and `HF_CONTRASTIVE_CHECKPOINT` become `${NAME}`, the repository `.`, and
    of any other absolute path the last part is kept.
    """
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    for path, name in sorted(_known_folders(), key=lambda known: -len(known[0])):
        value = re.sub(rf"(?<![\w.-]){re.escape(path)}(?![\w.-])", lambda _, name=name: name, value)
    return f".../{Path(value).name}" if value.startswith(("/", "~")) else value


def data_folder() -> Path:
    """What `HF_CONTRASTIVE_DATA` names."""
    if "HF_CONTRASTIVE_DATA" not in os.environ:
        raise RecipeError("HF_CONTRASTIVE_DATA is not set; name the folder with sentences/, nli/ and sts/")
    return Path(os.environ["HF_CONTRASTIVE_DATA"])


def model_name(model: str) -> str:
    """What to call a checkpoint: the last part of a folder's path, or the name on the Hub."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _known_folders() -> Iterator[tuple[str, str]]:
    for name in ("HF_CONTRASTIVE_DATA", "HF_CONTRASTIVE_CHECKPOINT"):
        path = os.environ.get(name, "").rstrip("/")
        if path and Path(path).exists():  # a name on the Hub says more than the variable
            yield path, f"${{{name}}}"
            yield str(Path(path).resolve()), f"${{{name}}}"
    yield str(ROOT), "."


def start(main: Callable[..., None], **context_settings: Any) -> None:
    """Run a benchmark's command line; what the user can mend, and what a child has said, has no traceback."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(context_settings=context_settings)(main)
    try:
        app()
    except (ContrastiveError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"error: {error}") from error
