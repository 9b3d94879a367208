"""`hf-contrastive card RUN`, `hf-contrastive onnx FOLDER` and `hf-contrastive publish FOLDER REPO_ID`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hf_contrastive.commands.shared import errors_as_messages, log_messages


def card(
    run: Annotated[Path, typer.Argument(help="output_dir of a finished run, with results.json and final/.")],
    others: Annotated[
        list[Path] | None, typer.Option("--with", help="output_dir of the same recipe with another seed; repeatable.")
    ] = None,
) -> None:
    """Write the model card of a finished run again, with mean and deviation over seeds where there are several."""
    from hf_contrastive.hub import read_results, write_cards

    with errors_as_messages():
        paths = write_cards(run, read_results(run), [read_results(other) for other in others or []])
    for path in paths:
        Console().print(f"model card: {path}", highlight=False, soft_wrap=True)


def onnx(
    folder: Annotated[Path, typer.Argument(help="Model folder: final/ of a finished run on sentences.")],
) -> None:
    """Write onnx/model.onnx into a model folder, checked against torch; `publish` sends it along."""
    from hf_contrastive.hub.onnx import FILE, export_onnx

    with errors_as_messages():
        difference = export_onnx(folder)
    Console().print(
        f"{folder / FILE}: differs from torch by {difference:.1e} at most", highlight=False, soft_wrap=True
    )


def publish(
    folder: Annotated[
        Path, typer.Argument(help="Model folder: final/ of a finished run, or adapter/, adapters of LoRA alone.")
    ],
    repo_id: Annotated[str, typer.Argument(help="owner/name on the Hub; made where it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch; made where it is not there. Default: main.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
) -> None:
    """Put a model on the Hub: its files, never those of its training."""
    from hf_contrastive.hub import publish as run

    log_messages()
    with errors_as_messages():
        done = run(folder, repo_id, private=private, revision=revision, dry_run=dry_run)
    console = Console(highlight=False, soft_wrap=True)
    for names, what in ((done.files.published, ""), (done.files.left_out, "left out: "), (done.removed, "removed: ")):
        for name in names:
            console.print(f"{what}{name}", markup=False)
    size = f"{len(done.files.published)} files, {done.files.size / 1e6:.1f} MB"
    if done.url is None:
        console.print(f"{size} would go to {done.repo_id}; nothing was sent")
    else:
        branch = f"/tree/{revision}" if revision else ""
        console.print(f"{size}: {done.url}{branch}, commit {done.commit}", markup=False)
