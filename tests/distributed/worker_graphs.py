"""Started by torchrun on two ranks: whole runs of graphs and hierarchies, and whether the ranks then agree."""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ranks import on_both_ranks
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from hf_contrastive.train import main as train_main
from hf_contrastive.training.table_trainer import TableTrainer


def same_on_both(value: Tensor) -> bool:
    both = [torch.empty_like(value) for _ in range(dist.get_world_size())]
    dist.all_gather(both, value.contiguous())
    return torch.equal(*both)


def run(recipe: str) -> dict[str, Any]:
    """A recipe to its end: what is different on the two ranks, and what moved since its first step."""
    seen: list[TableTrainer] = []
    before: dict[str, Tensor] = {}
    set_step = TableTrainer.set_step

    def watched(self: TableTrainer, step: int) -> None:
        if not seen:
            seen.append(self)
            before.update({name: value.clone() for name, value in self.contrastive_model.state_dict().items()})
        set_step(self, step)

    TableTrainer.set_step = watched  # type: ignore[method-assign]
    train_main([recipe])
    TableTrainer.set_step = set_step  # type: ignore[method-assign]
    state = seen[0].contrastive_model.state_dict()
    return {
        "steps": seen[0].state.global_step,
        "ddp": isinstance(seen[0].model_wrapped, DistributedDataParallel),
        "different": [name for name, value in state.items() if not same_on_both(value)],
        "moved": sorted(name for name, value in state.items() if not torch.equal(value, before[name])),
    }


def runs(folder: str) -> dict[str, Any]:
    return {recipe.parent.name: run(str(recipe)) for recipe in sorted(Path(folder).glob("*/recipe.yaml"))}


if __name__ == "__main__":
    on_both_ranks(runs, *sys.argv[1:])
