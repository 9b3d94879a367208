"""Draw the figures in docs/ from what the benchmarks measured: `python scripts/figures.py`; needs matplotlib.

Figures whose measurements are not there stay as they are.
"""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from hf_contrastive.look.draw import draw_alignment_uniformity, draw_spectra
from hf_contrastive.look.measure import Figures

ROOT = Path(__file__).resolve().parents[1]
CURVES = {"negative_sampling": "negative sampling", "ace": "ACE", "adv": "ADV (lambda = 0)"}
SETS = ("WS-353", "SimLex-999", "RW")


def curves(runs: list[dict[str, Any]], name: str) -> tuple[list[int], list[float], list[float]]:
    """Steps, mean over the runs and standard deviation of a set's Spearman x 100."""
    values: dict[int, list[float]] = {}
    for run in runs:
        for entry in run["curve"]:
            if f"eval_{name}" in entry:
                values.setdefault(entry["step"], []).append(100 * entry[f"eval_{name}"])
    steps = sorted(step for step, made in values.items() if len(made) == len(runs))
    spread = [stdev(values[step]) if len(runs) > 1 else 0.0 for step in steps]
    return steps, [mean(values[step]) for step in steps], spread


def words_curves(results: Path, output: Path) -> None:
    """Word similarity by iteration: the ACE paper's figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(SETS), figsize=(12, 3.6), constrained_layout=True)
    for axis, name in zip(axes, SETS, strict=True):
        for source, label in CURVES.items():
            paths = sorted(results.glob(f"{source}-[0-9]*.json"))
            runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            if runs:
                steps, means, spread = curves(runs, name)
                (line,) = axis.plot(steps, means, label=f"{label}, {len(runs)} seeds")
                bounds = [[m + sign * s for m, s in zip(means, spread, strict=True)] for sign in (-1, 1)]
                axis.fill_between(steps, *bounds, alpha=0.2, color=line.get_color(), linewidth=0)
        axis.set(title=name, xlabel="step of 4,096 words")
    axes[0].set_ylabel("Spearman x 100")
    axes[-1].legend()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=130)


def geometry(measured: Path, images: Path) -> None:
    """Alignment and uniformity, and spectra, as `hf-contrastive look` draws them."""
    made = json.loads(measured.read_text(encoding="utf-8"))["measurements"]
    fields = ("model", "dimension", "spearman", "alignment", "uniformity", "mean_cosine", "effective_rank", "spectrum")
    not_drawn: dict[str, Any] = {"edges": [], "histograms": [], "points": [], "shares": [], "nearest": {}}
    models = [Figures(label=one["name"], **{field: one[field] for field in fields}, **not_drawn) for one in made]
    images.mkdir(parents=True, exist_ok=True)
    draw_alignment_uniformity(models, images / "alignment-uniformity.png")
    draw_spectra(models, images / "spectrum.png")


def main(results: Path = ROOT / "benchmarks" / "results", images: Path = ROOT / "docs" / "images") -> None:
    """Draw all that was measured."""
    drawn = {"words_study": (words_curves, images / "words-curves.png"), "geometry.json": (geometry, images)}
    for source, (draw, output) in drawn.items():
        if (results / source).exists():
            draw(results / source, output)
        else:
            print(f"{results / source}: not there, see benchmarks/README.md; what is drawn from it stays as it is")


if __name__ == "__main__":
    main()
