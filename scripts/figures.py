"""Draw the figures in docs/ from what the benchmarks measured: `python scripts/figures.py`; needs matplotlib.

Figures whose measurements are not there stay as they are.
"""

import json
from pathlib import Path
from typing import Any

from curve_figures import graph_curves, words_curves

from hf_contrastive.look.draw import draw_alignment_uniformity, draw_spectra
from hf_contrastive.look.measure import Figures

ROOT = Path(__file__).resolve().parents[1]


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
    drawn = {
        "words_study": (words_curves, images / "words-curves.png"),
        "kg_study": (graph_curves, images / "graph-curves.png"),
        "geometry.json": (geometry, images),
    }
    for source, (draw, output) in drawn.items():
        if (results / source).exists():
            draw(results / source, output)
        else:
            print(f"{results / source}: not there, see benchmarks/README.md; what is drawn from it stays as it is")


if __name__ == "__main__":
    main()
