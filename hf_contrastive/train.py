"""Train what a recipe says: `python -m hf_contrastive.train RECIPE [--key value ...]`.

This is what `accelerate launch -m hf_contrastive.train RECIPE` starts on every process and `hf-contrastive train` in
one. In `output_dir`: `checkpoint-*` (to resume), `final/` (to publish), `results.json` (what was measured).
"""

import logging
import sys
from collections.abc import Sequence

import torch
import transformers
from transformers import TrainingArguments

from hf_contrastive.errors import ContrastiveError
from hf_contrastive.recipe import load_recipe
from hf_contrastive.tasks import train
from hf_contrastive.training.distributed import leave_process_group

__all__ = ["main", "train"]


def set_verbosity(args: TrainingArguments) -> None:
    """Counts and warnings from the main process; `log_level` changes how much, Transformers' own included."""
    if args.should_log:
        asked = args.log_level != "passive"
        logging.getLogger("hf_contrastive").setLevel(args.get_process_log_level() if asked else logging.INFO)
        transformers.utils.logging.set_verbosity(args.get_process_log_level() if asked else logging.ERROR)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse `RECIPE --key value ...` and train; what the user can mend is printed without a traceback."""
    # Rows that are seldom looked up leave Adam's moments denormal, which slows Intel's processors down by a multiple.
    # Threads have this of the thread that starts them, so it comes first.
    torch.set_flush_denormal(True)
    argv = list(sys.argv[1:] if argv is None else argv)
    path = argv.pop(0) if argv and not argv[0].startswith("--") else None
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        recipe = load_recipe(path, argv)
        set_verbosity(recipe.training)
        train(recipe)
    except ContrastiveError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
    leave_process_group()
