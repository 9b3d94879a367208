"""Generators of a step: the same again for the same step, others for every other."""

import pytest
import torch

from hf_contrastive.training import draws
from hf_contrastive.training.draws import StepDraws

CPU = torch.device("cpu")


def numbers(generator: torch.Generator) -> tuple[int, ...]:
    return tuple(torch.randint(1 << 40, (2,), generator=generator).tolist())


def at(seed: int, step: int, draws_before: int = 0) -> tuple[int, ...]:
    made = StepDraws(seed)
    made.step = step
    for _ in range(draws_before):
        made.generator(CPU, training=True)
    return numbers(made.generator(CPU, training=True))


def test_no_two_steps_seeds_or_draws_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those whose numbers differ by powers of two, of which a generator may look at the lowest bits alone."""
    found = [at(seed, step, before) for seed in (0, 1, 42, 43, 1 << 31) for step in range(100) for before in range(3)]
    found += [at(0, 1 << power) for power in range(7, 40)]
    monkeypatch.setattr(draws, "rank", lambda: 1)
    found += [at(0, step) for step in range(100)]
    assert len(set(found)) == len(found)


def test_a_step_draws_the_same_again_whatever_was_drawn_before() -> None:
    made = StepDraws(3)
    for step in range(5):
        made.step = step
        numbers(made.generator(CPU, training=True))
    made.step = 7
    first = numbers(made.generator(CPU, training=True))
    assert first == at(3, 7) and numbers(made.generator(CPU, training=True)) == at(3, 7, draws_before=1)


def test_what_is_drawn_outside_training_leaves_draws_of_training_as_they_are() -> None:
    made = StepDraws(3)
    made.step = 2
    made.generator(CPU, training=False)
    assert numbers(made.generator(CPU, training=True)) == at(3, 2)
