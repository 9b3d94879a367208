"""Started by torchrun on two ranks: gradients of tables summed over them, and whole runs of word vectors."""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ranks import on_both_ranks
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).parents[1]))

from word_models import make, text

from hf_contrastive.negatives import Context, Negatives, NegativeSampler, usable
from hf_contrastive.train import main as train_main
from hf_contrastive.training.rows import sum_over_ranks
from hf_contrastive.training.words import WordTrainer


class Given(NegativeSampler):
    """The same rows whenever it is asked, whoever asks."""

    needs = frozenset({"bank"})

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        ids = torch.tensor([3, 0, 7, 7, 1])
        return Negatives(ids, usable(context, ids), "bank")


def same_on_both(value: Tensor) -> bool:
    both = [torch.empty_like(value) for _ in range(dist.get_world_size())]
    dist.all_gather(both, value.contiguous())
    return torch.equal(*both)


def summed(case: str, rank: int) -> dict[str, Any]:
    """Each rank's half of a text, or all of it on rank 0; against one process with the whole."""
    kinds: dict[str, tuple[str, NegativeSampler | None, str]] = {
        "softmax": ("softmax", None, "skip_gram"),
        "hierarchical": ("hierarchical_softmax", None, "cbow"),
        "told": ("negative_sampling", Given(), "skip_gram"),
        "rank_without_pairs": ("negative_sampling", Given(), "skip_gram"),
        "rank_without_gradient": ("negative_sampling", Given(), "cbow"),
        "dense_on_one_rank_only": ("softmax", None, "skip_gram"),
    }
    objective, sampler, architecture = kinds[case]
    ids, sentences = text()
    whole = make(objective, sampler, architecture)
    whole(ids, sentences).loss.backward()

    cut = 10 if case in ("softmax", "hierarchical", "told") else len(ids)  # where a sentence ends
    part = slice(cut) if rank == 0 else slice(cut, None)
    model = make(objective, sampler, architecture)
    if cut < len(ids) or rank == 0 or case == "rank_without_pairs":
        model(ids[part], sentences[part]).loss.backward()
    before = [None if table.grad is None else table.grad.to_dense().clone() for table in model.tables]
    sum_over_ranks(model.tables)
    pairs = list(zip(model.tables, whole.tables, strict=True))
    return {
        "difference": max((a.grad.to_dense() - b.grad.to_dense()).abs().max().item() for a, b in pairs),
        "norm": min(b.grad.to_dense().norm().item() for _, b in pairs),
        "had_all": any(
            own is not None and torch.allclose(own, b.grad.to_dense())
            for own, (_, b) in zip(before, pairs, strict=True)
        ),
        "same": all(same_on_both(a.grad.to_dense()) for a, _ in pairs),
        "sparse": [a.grad.is_sparse for a, _ in pairs],
    }


def nothing_to_sum() -> bool:
    """No rank has a gradient."""
    model = make("negative_sampling", Given())
    sum_over_ranks(model.tables)
    return all(table.grad is None for table in model.tables)


def ddp(config: Any) -> str:
    """What DDP says of a model that tells it to leave its tables alone."""
    model = make("negative_sampling", config)
    model._ddp_params_and_buffers_to_ignore = ["words.input_embeddings", "words.output_embeddings"]
    try:
        wrapped = DistributedDataParallel(model)
    except RuntimeError as error:
        return str(error)
    wrapped(*text()).loss.backward()
    return "" if all(p.grad is not None for p in model.parameters()) else "no gradient"


class StoppedError(Exception):
    """Between two checkpoints."""


def run(recipe: str, stop: int | None = None) -> dict[str, Any]:
    """A recipe to its end, at a second start where it is stopped at a step; and whether the ranks then agree."""
    seen: list[WordTrainer] = []
    set_step = WordTrainer.set_step

    def watched(self: WordTrainer, step: int) -> None:
        if self not in seen:
            seen.append(self)
        if step == stop and len(seen) == 1:
            raise StoppedError
        set_step(self, step)

    WordTrainer.set_step = watched  # type: ignore[method-assign]
    if stop is not None:
        try:
            train_main([recipe])
        except StoppedError:
            pass
    train_main([recipe])
    WordTrainer.set_step = set_step  # type: ignore[method-assign]
    state, wrapped = seen[-1].contrastive_model.state_dict(), seen[-1].model_wrapped
    return {
        "starts": len(seen),
        "ddp": isinstance(wrapped, DistributedDataParallel),
        "broadcasts": getattr(wrapped, "broadcast_buffers", False),
        "names": sorted(state),
        "different": [name for name, value in state.items() if not same_on_both(value)],
    }


def gradients_and_runs(folder: str) -> dict[str, Any]:
    rank = dist.get_rank()
    cases = (
        "softmax",
        "hierarchical",
        "told",
        "rank_without_pairs",
        "rank_without_gradient",
        "dense_on_one_rank_only",
    )
    results: dict[str, Any] = {case: summed(case, rank) for case in cases}
    results["nothing_to_sum"] = nothing_to_sum()
    results["ddp_without_sampler_that_learns"] = ddp("uniform")
    results["ddp_with_sampler_that_learns"] = ddp({"name": "adversarial", "width": 5})
    for recipe in sorted(Path(folder).glob("*/recipe.yaml")):
        results[recipe.parent.name] = run(str(recipe), 13 if recipe.parent.name == "stopped" else None)
    return results


if __name__ == "__main__":
    on_both_ranks(gradients_and_runs, *sys.argv[1:])
