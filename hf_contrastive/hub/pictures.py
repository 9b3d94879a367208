"""Two pictures of a training run for its card; drawn where matplotlib is installed."""

import importlib.util
import logging
from pathlib import Path
from typing import Any

from hf_contrastive.files import whole_file

logger = logging.getLogger(__name__)

TRAINING = "training_curve.png"
ALIGNMENT = "alignment_uniformity.png"


def draw_pictures(folder: Path, results: dict[str, Any]) -> dict[str, str]:
    """Draw what `results` has figures for into `folder`, and remove what an earlier run left there.

    Returns:
        File names and what each picture shows; empty without matplotlib.
    """
    for name in (TRAINING, ALIGNMENT):
        (folder / name).unlink(missing_ok=True)
    if importlib.util.find_spec("matplotlib") is None:
        logger.warning("no pictures in the model card: pip install 'hf-contrastive[plots]' and `hf-contrastive card`")
        return {}
    drawn = {}
    losses, curve = results.get("losses") or [], results.get("curve") or []
    metric = _measured(results)
    chosen = [(entry["step"], entry[metric]) for entry in curve if metric in entry]
    if losses or chosen:
        _training(folder / TRAINING, losses, chosen, metric.removeprefix("eval_"))
        shown = [*(["Loss"] if losses else []), *(["validation figure"] if chosen else [])]
        drawn[TRAINING] = f"{' and '.join(shown).capitalize()} over the steps of training"
    path = [entry for entry in curve if "eval_dev_alignment" in entry]
    if path:
        _alignment(folder / ALIGNMENT, path, (results.get("before") or {}).get("dev"))
        drawn[ALIGNMENT] = "Alignment and uniformity on the dev pairs while it trained; smaller is better on both axes"
    return drawn


def _measured(results: dict[str, Any]) -> str:
    """The figure that chose the checkpoint, else the first that was logged."""
    named = results["recipe"].get("metric_for_best_model")
    if named:
        return named if named.startswith("eval_") else f"eval_{named}"
    logged: dict[str, Any] = next(iter(results.get("curve") or []), {})
    return next((key for key in logged if key.startswith("eval_")), "eval_")


def _training(path: Path, losses: list[list[float]], chosen: list[tuple[int, float]], metric: str) -> None:
    figure = _figure()
    axis = figure.subplots()
    axis.set_xlabel("optimizer steps")
    if losses:
        axis.plot(*zip(*losses, strict=True), color="tab:blue", linewidth=1.2)
        axis.set_ylabel("training loss", color="tab:blue")
    if chosen:
        other = axis.twinx() if losses else axis
        other.plot(*zip(*chosen, strict=True), "o-", color="tab:orange", markersize=4)
        other.set_ylabel(metric, color="tab:orange")
    axis.grid(alpha=0.3)
    _save(figure, path)


def _alignment(path: Path, curve: list[dict[str, Any]], before: dict[str, float] | None) -> None:
    figure = _figure()
    axis = figure.subplots()
    steps = [(0, before["dev_uniformity"], before["dev_alignment"])] if before else []
    steps += [(entry["step"], entry["eval_dev_uniformity"], entry["eval_dev_alignment"]) for entry in curve]
    numbers, uniformity, alignment = zip(*steps, strict=True)
    axis.plot(uniformity, alignment, color="0.6", linewidth=1, zorder=1)
    drawn = axis.scatter(uniformity, alignment, c=numbers, cmap="viridis", zorder=2)
    figure.colorbar(drawn, ax=axis, label="optimizer steps")
    axis.set(xlabel="uniformity (smaller: more spread out)", ylabel="alignment (smaller: positives closer)")
    axis.grid(alpha=0.3)
    _save(figure, path)


def _figure() -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, 4), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with whole_file(path) as partial:
        # Without the version of matplotlib in it, the same run gives the same file.
        figure.savefig(partial, dpi=110, format="png", metadata={"Software": None})
