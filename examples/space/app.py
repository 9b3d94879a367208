"""A page to look through a sentence encoder, here or as a Hugging Face Space.

python examples/space/app.py --model FOLDER_OR_HUB_NAME [--port 7860]
"""

import argparse
import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import gradio as gr
import torch
from views import MOST_OF_A_MATRIX, Vectors, choices, matrix_table, nearest, one_sentence, propose, read_sentences

from hf_contrastive import SentenceEncoder
from hf_contrastive.errors import ContrastiveError

MODEL = "HF_CONTRASTIVE_MODEL"
SENTENCES = """A man is playing the guitar.
Someone plays an instrument.
A woman is slicing onions.
The chef cuts vegetables.
Two dogs run across a field.
A dog is sleeping on the sofa.
The train to Berlin is late again.
There are delays on the railway.
Nobody is playing the guitar.
The stock market fell sharply on Monday."""
CSS = """
.matrix { border-collapse: collapse; font-size: 0.9em }
.matrix td, .matrix th { padding: 0.35em 0.5em; text-align: right; border: 1px solid var(--border-color-primary) }
.matrix .sentence { text-align: left; font-weight: normal; white-space: nowrap }
"""


def saying_errors(show: Callable[..., Any]) -> Callable[..., Any]:
    """What the user can mend is shown as a message; what was shown before stays."""

    @wraps(show)
    def shown(*inputs: Any) -> Any:
        try:
            return show(*inputs)
        except ContrastiveError as error:
            gr.Warning(str(error), title="This does not work")
            return gr.skip()

    return shown


def build(encoder: SentenceEncoder, name: str) -> gr.Blocks:
    """The page: three tabs."""
    vectors = Vectors(encoder)

    @saying_errors
    def show_nearest(query: str, text: str, file: str | None, k: float) -> list[list[Any]]:
        sentences = read_sentences(text, file)
        found = nearest(vectors, one_sentence(query), sentences, int(k))
        return [[f"{cosine:.3f}", sentence] for sentence, cosine in found]

    @saying_errors
    def show_matrix(text: str) -> str:
        return matrix_table(vectors, read_sentences(text, most=MOST_OF_A_MATRIX))

    @saying_errors
    def show_negatives(sentence: str, text: str, file: str | None, line: str) -> tuple[list[list[Any]], str]:
        found, draws = propose(vectors, line, one_sentence(sentence), read_sentences(text, file))
        shares = [f"{100 * each.share:.1f} %" if each.share else "never" for each in found]
        rows = [[share, f"{each.cosine:.3f}", each.sentence] for share, each in zip(shares, found, strict=True)]
        how = f"Shares of {draws:,} draws." if draws else "Exact shares: this sampler weighs its whole pool."
        return rows, how

    with gr.Blocks(title="Through a sentence encoder", analytics_enabled=False) as page:
        gr.Markdown(f"# Through a sentence encoder\n`{name}`, {encoder.width} numbers a sentence.")
        with gr.Tab("Nearest sentences"):
            with gr.Row():
                with gr.Column():
                    query = gr.Textbox("Music is being made.", label="Query")
                    text = gr.Textbox(SENTENCES, label="Sentences, one a line", lines=10)
                    file = gr.File(label="and those of a file", height=150)
                    k = gr.Slider(1, 50, 5, step=1, label="How many")
                    find = gr.Button("Find", variant="primary")
                with gr.Column():
                    found = table(["cosine", "sentence"], ["20%", "80%"])
            for event in (find.click, query.submit):
                event(show_nearest, [query, text, file, k], found)
        with gr.Tab("Similarity matrix"):
            typed = gr.Textbox(SENTENCES, label=f"Sentences, one a line, at most {MOST_OF_A_MATRIX}", lines=8)
            compare = gr.Button("Compare", variant="primary")
            matrix = gr.HTML()
            compare.click(show_matrix, typed, matrix)
        with gr.Tab("Negatives"):
            gr.Markdown(
                "Which sentences would be contrasted with yours, and how much each would count, if a recipe had this "
                "line under `negatives:`. Your sentence is its own positive, as in unsupervised SimCSE; the pool is "
                "the rest of the batch and the bank of past sentences. Equal texts are never negatives. The "
                "adversarial generator is shown as it begins: it prefers what is similar, and unlearns that in "
                "training where it is wrong."
            )
            with gr.Row():
                with gr.Column():
                    sentence = gr.Textbox("A man is playing the guitar.", label="Sentence")
                    pool = gr.Textbox(SENTENCES, label="Pool, one sentence a line", lines=10)
                    pool_file = gr.File(label="and those of a file", height=150)
                    known = choices()
                    line = gr.Dropdown(known, value=known[0], label="negatives:")
                    ask = gr.Button("Propose", variant="primary")
                with gr.Column():
                    how = gr.Markdown()
                    proposed = table(["share", "cosine", "sentence"], ["16%", "16%", "68%"])
            for event in (ask.click, line.change, sentence.submit):
                event(show_negatives, [sentence, pool, pool_file, line], [proposed, how])
    return page


def table(headers: list[str], widths: list[str]) -> gr.Dataframe:
    """Results, to be read only."""
    return gr.Dataframe(headers=headers, column_widths=widths, interactive=False, wrap=True, label="Result")


def main(argv: Sequence[str] | None = None) -> None:
    """Load the model, then serve the page until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=os.environ.get(MODEL), help=f"folder or Hub name; default: ${MODEL}")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    args = parser.parse_args(argv)
    if not args.model:
        parser.error(f"no model: give --model, or set {MODEL} (of a Space: Settings, Variables)")
    try:
        encoder = SentenceEncoder.from_pretrained(args.model)
    except ContrastiveError as error:
        raise SystemExit(f"error: {error}") from error
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    page = build(encoder.to(device).eval(), args.model)
    # The system's fonts: the page asks no other server for anything.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    page.launch(server_port=args.port, theme=theme, css=CSS, show_error=True, max_file_size="10mb")


if __name__ == "__main__":
    main()
