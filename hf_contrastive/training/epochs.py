"""Which epoch it is, told to those that draw by it."""

from typing import Any

from transformers import TrainerCallback, TrainerState

from hf_contrastive.data import AugmentedPositiveCollator


class TellEpoch(TrainerCallback):
    """Tells a collator the number of each epoch before the first of its batches is loaded."""

    def __init__(self, collator: AugmentedPositiveCollator) -> None:
        self.collator = collator

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Of a resumed epoch `state.epoch` is a fraction further."""
        self.collator.epoch.fill_(int(state.epoch or 0))
