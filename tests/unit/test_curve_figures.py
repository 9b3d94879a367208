"""What the curves of the studies show."""

import json
from pathlib import Path

import pytest
from curve_figures import draw, graph_curves, pyplot, words_curves
from made_up_graphs import GRAPH_COSTS, KG_STUDY
from made_up_words import WORDS


def test_a_curve_is_the_mean_of_what_all_runs_measured() -> None:
    runs = [
        {"curve": [{"step": 10, "x": 0.1}, {"step": 20, "x": 0.2}, {"step": 30, "other": 1.0}]},
        {"curve": [{"step": 10, "x": 0.3}, {"step": 20, "x": 0.2}, {"step": 30, "x": 0.9}]},
    ]
    figure, axis = pyplot.subplots()
    draw(axis, runs, "x", "name", step=0.5)
    (line,) = axis.lines
    assert line.get_label() == "name, 2 seeds"
    assert line.get_xdata().tolist() == [5, 10] and line.get_ydata().tolist() == pytest.approx([20, 20])
    low, high = axis.collections[0].get_datalim(axis.transData).intervaly
    assert (low, high) == pytest.approx((20 - 200**0.5, 20 + 200**0.5))
    pyplot.close(figure)


def test_studies_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "graph_costs_cpu.json").write_text(json.dumps(GRAPH_COSTS), encoding="utf-8")
    for draw_all, made in ((words_curves, WORDS), (graph_curves, KG_STUDY)):
        folder, picture = tmp_path / draw_all.__name__, tmp_path / f"{draw_all.__name__}.png"
        folder.mkdir()
        for name, run in made.items():
            (folder / f"{name}.json").write_text(json.dumps({"curve": [], **run}), encoding="utf-8")
        draw_all(folder, picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
