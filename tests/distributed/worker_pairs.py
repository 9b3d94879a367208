"""Started by torchrun on two ranks: each classifies half of the pairs; the gradient against one process with all."""

import sys

import torch
import torch.distributed as dist
from ranks import on_both_ranks
from torch.nn.parallel import DistributedDataParallel

from hf_contrastive.models import SentenceEncoder
from hf_contrastive.training import PairClassificationModel

PAIRS = 6


def make_model(folder: str, chunk_size: int | None) -> PairClassificationModel:
    torch.manual_seed(0)
    encoder = SentenceEncoder.from_pretrained(folder, pooler="avg", dropout=0.0)
    return PairClassificationModel(encoder, 3, chunk_size=chunk_size).train()


def make_batch(rows: list[int]) -> dict:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 60, (2 * PAIRS, 7), generator=generator)
    labels = torch.tensor([0, 1, 2, 2, 0, 1])
    index = [*rows, *(PAIRS + row for row in rows)]
    mask = torch.ones(len(index), 7, dtype=torch.long)
    return {"input_ids": ids[index], "attention_mask": mask, "labels": labels[rows], "lengths": [7] * len(index)}


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])


def gradients(folder: str) -> dict:
    rank, world = dist.get_rank(), dist.get_world_size()
    results = {}
    for name, chunk_size in {"whole": None, "chunks": 4}.items():
        alone = make_model(folder, None)
        loss = alone(**make_batch(list(range(PAIRS)))).loss
        loss.backward()
        expected = gradient(alone)
        model = DistributedDataParallel(make_model(folder, chunk_size))
        local = model(**make_batch(list(range(PAIRS))[rank::world])).loss
        local.backward()
        mine, mean_loss = gradient(model), local.detach().clone()
        dist.all_reduce(mean_loss)
        results[name] = {
            "ratio": (mine.norm() / expected.norm()).item(),
            "difference": (mine - expected).abs().max().item(),
            "loss_difference": abs(mean_loss.item() / world - loss.item()),
            "norm": expected.norm().item(),
        }
    return results


if __name__ == "__main__":
    on_both_ranks(gradients, *sys.argv[1:])
