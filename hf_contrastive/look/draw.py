"""The four pictures, as PNG files; matplotlib is asked for when the first is drawn."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation.pairs import ScoredPairs
from hf_contrastive.files import whole_file
from hf_contrastive.look.measure import SCORE_GROUPS, Figures, map_rows, positives, score_groups

_MARKERS = "osD^vP*X<>hp"
_DPI = 130
_MOST_GENRES = 8  # that colours tell apart


def require_matplotlib() -> None:
    """Raise `RecipeError` where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise RecipeError(
            "pictures are drawn with matplotlib, which is not installed: pip install 'hf-contrastive[plots]'"
        )


def draw_alignment_uniformity(figures: Sequence[Figures], path: Path) -> None:
    """Models as points, small is good on both axes, coloured by Spearman; checkpoints of a run as a path."""
    figure = _figure(8.2, 5)
    axis = figure.subplots()
    values = [100 * value for model in figures for value in [model.spearman, *(p.spearman for p in model.path)]]
    colours = {"vmin": min(values), "vmax": max(values) + 1e-9, "cmap": "viridis"}
    drawn = None
    for number, model in enumerate(figures):
        marker = _MARKERS[number % len(_MARKERS)]
        if model.path:
            steps = np.array([[p.uniformity, p.alignment, 100 * p.spearman] for p in model.path])
            axis.plot(steps[:, 0], steps[:, 1], color="0.6", linewidth=1, zorder=1)
            axis.scatter(steps[:, 0], steps[:, 1], c=steps[:, 2], marker=marker, s=22, zorder=2, **colours)
            for point in {model.path[0], model.path[-1]}:
                place = (point.uniformity, point.alignment)
                axis.annotate(
                    f"step {point.step:,}", place, (4, 4), textcoords="offset points", fontsize=7, color="0.3"
                )
        drawn = axis.scatter(
            [model.uniformity],
            [model.alignment],
            c=[100 * model.spearman],
            marker=marker,
            s=110,
            edgecolors="black",
            label=f"{_plain(model.label)}  {100 * model.spearman:.2f}",
            zorder=3,
            **colours,
        )
    axis.set(xlabel="uniformity (smaller: more spread out)", ylabel="alignment (smaller: positives closer)")
    axis.margins(0.12)
    axis.grid(alpha=0.3)
    figure.legend(title="Spearman x 100", loc="outside right upper", frameon=False)
    figure.colorbar(drawn, ax=axis, label="Spearman x 100")
    _save(figure, path)


def draw_spectra(figures: Sequence[Figures], path: Path) -> None:
    """Singular values from the largest to the smallest, on a logarithmic scale."""
    figure = _figure(8.2, 4.6)
    axis = figure.subplots()
    for number, model in enumerate(figures):
        values = np.array(model.spectrum)
        shown = values > 1e-7  # what is below is rounding
        label = f"{_plain(model.label)}  effective rank {model.effective_rank:.1f} of {len(values)}"
        style = "-" if number < 10 else "--"
        axis.plot(np.arange(1, len(values) + 1)[shown], values[shown], style, label=label, linewidth=1.6)
    axis.set(yscale="log", xlabel="number of the singular value", ylabel="singular value / the largest")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    _save(figure, path)


def draw_cosines(figures: Sequence[Figures], pairs: ScoredPairs, path: Path) -> None:
    """Cosines of the pairs: a column for each model, a row for each fifth of the scores, the highest on top."""
    names = score_groups(pairs)[1]
    figure = _figure(1.2 + 2.6 * len(figures), 6)
    axes = figure.subplots(SCORE_GROUPS, len(figures), squeeze=False, sharex="col")
    palette = _colours("viridis", SCORE_GROUPS)
    for column, model in enumerate(figures):
        edges = np.array(model.edges)
        for row in range(SCORE_GROUPS):
            group = SCORE_GROUPS - 1 - row
            axis, counts = axes[row][column], np.array(model.histograms[group])
            axis.stairs(counts / max(counts.sum(), 1), edges, fill=True, color=palette[group])
            axis.set(yticks=[], xlim=(edges[0], edges[-1]))
            if counts.sum():
                middle = float(np.average((edges[1:] + edges[:-1]) / 2, weights=counts))
                axis.axvline(middle, color="black", linewidth=1)
            if column == 0:
                axis.set_ylabel(names[group], rotation=0, ha="right", va="center")
        axes[0][column].set_title(f"{_plain(model.label)}\nSpearman {100 * model.spearman:.2f}", fontsize=9)
        axes[-1][column].set_xlabel("cosine")
    figure.supylabel("score given by people", fontsize=9)
    _save(figure, path)


def draw_maps(figures: Sequence[Figures], pairs: ScoredPairs, path: Path) -> None:
    """Sentences on two axes, by genre where there are a few; a line joins each positive pair."""
    rows = map_rows(pairs)
    genres = [pairs.subsets[row].partition("/")[0] for row in rows]
    kinds = sorted(set(genres))
    colours = dict(zip(kinds, _colours("tab10", 10), strict=False)) if 1 < len(kinds) <= _MOST_GENRES else {}
    columns = min(len(figures), 3)
    lines = -(-len(figures) // columns)
    figure = _figure(4.2 * columns, 4.2 * lines + 0.4)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    joined = positives(pairs)[rows]
    for axis, model in zip(axes, figures, strict=False):
        left, right = np.split(np.array(model.points), 2)
        for pair in np.flatnonzero(joined):
            axis.plot(*zip(left[pair], right[pair], strict=True), color="0.35", linewidth=0.8, zorder=1)
        for genre in kinds if colours else [""]:
            chosen = np.array([not colours or name == genre for name in genres])
            dots = np.concatenate([left[chosen], right[chosen]])
            axis.scatter(
                dots[:, 0], dots[:, 1], s=9, color=colours.get(genre, "tab:blue"), label=_plain(genre), zorder=2
            )
        axis.set_title(_plain(model.label), fontsize=9)
        axis.set(xticks=[], yticks=[])
        if model.shares:
            axis.set(xlabel=f"{model.shares[0]:.1%} of the variance", ylabel=f"{model.shares[1]:.1%}")
    for axis in axes[len(figures) :]:
        axis.axis("off")
    if colours:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=_DPI, format="png")


def _colours(name: str, count: int) -> list[Any]:
    import matplotlib

    palette = matplotlib.colormaps[name]
    return [palette(value) for value in (range(count) if palette.N == count else np.linspace(0.05, 0.95, count))]


def _plain(text: str) -> str:
    """Text as it is: between dollars matplotlib would read mathematics."""
    return text.replace("$", r"\$")
