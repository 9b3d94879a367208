"""Random numbers of a step, the same after a resume."""

import numpy as np
import torch

from hf_contrastive.training.distributed import rank


class StepDraws:
    """Generators that follow from seed, step, draw within the step (under accumulation) and rank: nothing to resume.

    Args:
        seed: of all draws; torch's own random numbers, dropout's among them, stay what they were.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.step = 0  # optimizer steps so far
        self._last = (-1, 0)  # the step of the last draw, and draws in it

    def generator(self, device: torch.device, training: bool) -> torch.Generator:
        """The next one; what is drawn outside training leaves the draws of training as they are."""
        draw = self._last[1] + 1 if self._last[0] == self.step else 0
        if training:
            self._last = (self.step, draw)
        # Hashed, as torch's generator on the CPU looks at no more than the low 32 bits of what it is given.
        hashed = np.random.SeedSequence((self.seed, self.step, draw, rank())).generate_state(1)[0]
        return torch.Generator(device).manual_seed(int(hashed))
