"""All pictures and figures on one HTML page that asks the network for nothing."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from hf_contrastive.look.measure import Figures

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { box-sizing: border-box; max-width: 100%; height: auto; border: 1px solid #ddd; border-radius: 4px; }
table { border-collapse: collapse; } td, th { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td { vertical-align: top; }
.wide { overflow-x: auto; } .about { color: #555; }
"""

SUMMARY = ("model", "D", "Spearman x 100", "alignment", "uniformity", "mean cosine", "effective rank")


def summary_row(model: Figures) -> list[str]:
    """Cells under `SUMMARY`."""
    numbers = [f"{x:.3f}" for x in (model.alignment, model.uniformity, model.mean_cosine)]
    return [model.label, str(model.dimension), f"{100 * model.spearman:.2f}", *numbers, f"{model.effective_rank:.1f}"]


def write_page(path: Path, figures: Sequence[Figures], pictures: Mapping[Path, tuple[str, str]], about: str) -> None:
    """Write the page.

    Args:
        figures: the models.
        pictures: title and explanation of each PNG file.
        about: on what it was measured.
    """
    parts = [f"<h1>Sentence embeddings</h1><p class=about>{escape(about)}</p>"]
    parts.append(_table(SUMMARY, map(summary_row, figures), numbers=set(range(1, len(SUMMARY)))))
    for picture, (title, text) in pictures.items():
        data = base64.b64encode(picture.read_bytes()).decode()
        parts.append(f"<h2>{escape(title)}</h2><p>{escape(text)}</p>")
        parts.append(f'<div class=wide><img alt="{escape(title)}" src="data:image/png;base64,{data}"></div>')
    parts.append("<h2>Nearest sentences</h2>")
    for query in figures[0].nearest:
        rows = [
            [str(rank + 1), *(_answer(model, query, rank) for model in figures)] for rank in _ranks(figures, query)
        ]
        parts.append(f"<p><strong>{escape(query)}</strong></p>")
        parts.append(_table(["", *(model.label for model in figures)], rows, numbers={0}))
    runs = [model for model in figures if model.path]
    if runs:
        parts.append("<h2>Checkpoints</h2>")
    for model in runs:
        points = [
            [f"{p.step:,}", f"{100 * p.spearman:.2f}", f"{p.alignment:.3f}", f"{p.uniformity:.3f}"] for p in model.path
        ]
        parts.append(f"<p>{escape(model.label)}</p>")
        parts.append(_table(("step", "Spearman x 100", "alignment", "uniformity"), points, numbers={0, 1, 2, 3}))
    path.write_text(
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>Sentence embeddings</title>\n"
        '<meta name=viewport content="width=device-width">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n",
        encoding="utf-8",
    )


def _ranks(figures: Sequence[Figures], query: str) -> range:
    return range(max(len(model.nearest[query]) for model in figures))


def _answer(model: Figures, query: str, rank: int) -> str:
    found = model.nearest[query]
    return f"{found[rank][1]:.3f}  {found[rank][0]}" if rank < len(found) else ""


def _table(header: Iterable[str], rows: Iterable[Iterable[str]], numbers: set[int]) -> str:
    def line(cells: Iterable[str], tag: str) -> str:
        made = (f"<{tag}{' class=n' * (i in numbers)}>{escape(cell)}</{tag}>" for i, cell in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<div class=wide><table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table></div>"
