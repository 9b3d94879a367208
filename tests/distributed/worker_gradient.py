"""Started by torchrun on two ranks: the gradient of each half under DDP against one process with the whole batch."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from ranks import on_both_ranks
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).parents[1]))

from hf_contrastive.models import SentenceEncoder
from hf_contrastive.negatives import (
    AdversarialNegatives,
    CachedNegatives,
    HardNegatives,
    InBatchNegatives,
    Joined,
    UniformNegatives,
)
from hf_contrastive.training import ContrastiveModel
from hf_contrastive.training.bank import SentenceBank

ROWS = 6


def filled_bank(width: int) -> SentenceBank:
    """Twenty sentences, the same on every rank."""
    bank, generator = SentenceBank(20, 7, width, pad_id=0), torch.Generator().manual_seed(2)
    vectors = torch.nn.functional.normalize(torch.randn(20, width, generator=generator), dim=-1)
    ids = torch.randint(5, 60, (20, 7), generator=generator)
    bank.write(bank.padded(ids), torch.full((20,), 7), vectors, torch.arange(100, 120), torch.arange(200, 220))
    return bank


def make_model(folder: str, case: dict, gather: bool) -> ContrastiveModel:
    torch.manual_seed(0)
    encoder = SentenceEncoder.from_pretrained(folder, pooler="avg", dropout=0.0)
    sampler = Joined([InBatchNegatives(), HardNegatives(weight=2.0)]) if case["hard"] else InBatchNegatives()
    learned = case.get("learned")
    if learned:
        sampler = Joined([InBatchNegatives(), AdversarialNegatives(encoder.width, **learned)])
    return ContrastiveModel(
        encoder,
        sampler,
        bank=filled_bank(encoder.width) if learned else None,
        reverse=InBatchNegatives() if case["symmetric"] else None,
        chunk_size=case["chunk_size"],
        gather=gather,
    ).train()


def make_batch(rows: range, owners: list[int]) -> dict:
    """The part of one fixed batch that belongs to `rows`; a duplicate pair of texts sits across the ranks."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 60, (2 * ROWS + 8, 7), generator=generator)
    keys = torch.arange(2 * ROWS + 8)
    ids[ROWS - 1], keys[ROWS - 1] = ids[0], keys[0]
    mine = [k for k, owner in enumerate(owners) if owner in rows]
    index = [*rows, *(ROWS + row for row in rows), *(2 * ROWS + k for k in mine)]
    return {
        "input_ids": ids[index],
        "attention_mask": torch.ones(len(index), 7, dtype=torch.long),
        "keys": keys[index],
        "negative_rows": torch.tensor([owners[k] - rows.start for k in mine], dtype=torch.long),
        "lengths": [7] * len(index),
    }


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])


def sharded(folder: str, rank: int, share: int, case: dict) -> dict:
    """FSDP2: the backbone's layers and the root, with a generator if there is one, sharded over both ranks."""
    whole = make_model(folder, case, gather=False)
    loss = whole(**make_batch(range(ROWS), case["hard"])).loss
    loss.backward()
    model = make_model(folder, case, gather=True)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.encoder.backbone.encoder.layer:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "embed")
    first = next(model.parameters())
    part = first.to_local().shape[0] / first.shape[0]
    batch = make_batch(range(rank * share, (rank + 1) * share), case["hard"])
    local = model(**batch).loss
    local.backward()
    mine = torch.cat([p.grad.full_tensor().flatten().double() for p in model.parameters() if p.grad is not None])
    expected = gradient(whole)
    mean_loss = local.detach().clone()
    dist.all_reduce(mean_loss)
    model.eval(), whole.eval()
    with torch.no_grad():
        tokens = (batch["input_ids"], batch["attention_mask"])
        difference = (model.embed(*tokens) - whole.embed(*tokens)).abs().max().item()
    return {
        "ratio": (mine.norm() / expected.norm()).item(),
        "cosine": torch.nn.functional.cosine_similarity(mine, expected, dim=0).item(),
        "loss_difference": abs(mean_loss.item() / dist.get_world_size() - loss.item()),
        "norm": expected.norm().item(),
        "embed_difference": difference,
        "share": part,
    }


def bank_after_steps(folder: str, rank: int, share: int, gather: bool) -> dict:
    """Three steps of samplers that draw, learn, encode anew and cache: do the ranks' states stay the same?"""
    torch.manual_seed(0)
    encoder = SentenceEncoder.from_pretrained(folder, pooler="avg", dropout=0.0)
    parts = [
        AdversarialNegatives(encoder.width, estimator="reinforce", k=4, fresh=3),
        UniformNegatives(k=5, fresh=True),
        CachedNegatives(k=2, slots=16),
    ]
    whole = ContrastiveModel(encoder, Joined(parts), bank=filled_bank(encoder.width), gather=gather).train()
    model = DistributedDataParallel(whole, broadcast_buffers=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    drawn = []
    for step in range(3):
        whole.contrast.step = step
        context_generator = whole.contrast.draws.generator(torch.device("cpu"), training=True)
        drawn.append(torch.rand(4, generator=context_generator))
        model(**make_batch(range(rank * share, (rank + 1) * share), [])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    different, draws = [], torch.cat(drawn)
    for name, value in whole.state_dict().items():
        both = [torch.empty_like(value) for _ in range(dist.get_world_size())]
        dist.all_gather(both, value.contiguous())
        if not torch.equal(*both):
            different.append(name)
    both = [torch.empty_like(draws) for _ in range(dist.get_world_size())]
    dist.all_gather(both, draws)
    written = whole.contrast.bank.keys[whole.contrast.bank.cursor - ROWS : whole.contrast.bank.cursor].tolist()
    return {
        "different": different,
        "same_draws": torch.equal(*both),
        "written": written,
        "expected": list(range(ROWS, 2 * ROWS)),  # keys of the positives, in rank order
    }


def gradients(folder: str) -> dict:
    rank, world = dist.get_rank(), dist.get_world_size()
    share = ROWS // world
    results = {}
    for name, case in {
        "unsup": {"hard": [], "symmetric": False, "chunk_size": None},
        "sup": {"hard": [0, 1, 1, 2, 4], "symmetric": False, "chunk_size": None},  # three on rank 0... one on rank 1
        "sup_rank_without_hard": {"hard": [0, 2], "symmetric": False, "chunk_size": None},
        "adversarial": {"hard": [], "symmetric": False, "chunk_size": None, "learned": {"k": 8}},
        "symmetric_chunked": {"hard": [], "symmetric": True, "chunk_size": 4},
    }.items():
        whole = make_model(folder, case, gather=False)
        loss = whole(**make_batch(range(ROWS), case["hard"])).loss
        loss.backward()
        expected = gradient(whole)

        model = DistributedDataParallel(make_model(folder, case, gather=True))
        local = model(**make_batch(range(rank * share, (rank + 1) * share), case["hard"])).loss
        local.backward()
        mine = gradient(model)
        mean_loss = local.detach().clone()
        dist.all_reduce(mean_loss)
        results[name] = {
            "ratio": (mine.norm() / expected.norm()).item(),
            "cosine": torch.nn.functional.cosine_similarity(mine, expected, dim=0).item(),
            "loss_difference": abs(mean_loss.item() / world - loss.item()),
            "norm": expected.norm().item(),
        }
    chunked = {"symmetric": False, "chunk_size": 4}
    results["fsdp2"] = sharded(folder, rank, share, {**chunked, "hard": [0, 1, 1, 2, 4]})
    results["fsdp2_adversarial"] = sharded(folder, rank, share, {**chunked, "hard": [], "learned": {"k": 8}})
    results["bank"] = bank_after_steps(folder, rank, share, gather=True)
    results["bank_of_local_candidates"] = bank_after_steps(folder, rank, share, gather=False)
    return results


if __name__ == "__main__":
    on_both_ranks(gradients, *sys.argv[1:])
