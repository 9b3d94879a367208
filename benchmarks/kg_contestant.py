"""One contestant of `kg.py`, in a process of its own: `python kg_contestant.py JOB`. Prints one JSON line."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import ROOT, Measurement
from word2vec_contestant import StepTimer

from hf_contrastive.data import KnowledgeGraph, Triples, load_knowledge_graph
from hf_contrastive.evaluation import evaluate_link_prediction
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel
from hf_contrastive.recipe import load_recipe
from hf_contrastive.training.graphs import GraphTrainer, contrastive_graph_model

RECIPE = ROOT / "recipes" / "kg" / "fb15k237-distmult.yaml"
WARMUP = 20
# What PyKEEN's models have beside scores by default, and ours have not here: constraints and regularisers.
PLAIN: dict[str, dict[str, Any]] = {
    "transe": {"entity_constrainer": None},
    "distmult": {"entity_constrainer": None, "regularizer": None},
    "complex": {"regularizer": None},
    "rotate": {"relation_constrainer": None},
}


def measure(job: dict[str, Any]) -> Measurement:
    """Train or evaluate as the job says."""
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    graph = load_knowledge_graph(Path(os.environ["HF_CONTRASTIVE_DATA"]) / "kg" / job["graph"])
    run = {
        ("ours", "train"): ours_trains,
        ("ours_shared", "train"): ours_trains,
        ("ours", "evaluate"): ours_ranks,
        ("pykeen", "train"): pykeen_trains,
        ("pykeen", "evaluate"): pykeen_ranks,
    }[job["contestant"], job["part"]]
    return {"triples_per_second": run(job, graph)}


def ours_trains(job: dict[str, Any], graph: KnowledgeGraph) -> float:
    """The stock Trainer; as with PyKEEN's basic sampler, known positives are not left out of the negatives."""
    sampler = {"name": "uniform", "k": job["negatives"], "shared": job["contestant"] == "ours_shared"}
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "interaction": job["interaction"],
            "dimension": job["dimension"],
            "reciprocal": "false",
            "negatives": json.dumps(sampler),
            "filter_known": "false",
            "objective": "negative_sampling",
            "output_dir": folder,
            "max_steps": WARMUP + job["steps"],
            "per_device_train_batch_size": job["batch"],
            "learning_rate": 0.01,
            "regularizer_weight": 0,
            "seed": job["seed"],
            "eval_strategy": "no",
            "save_strategy": "no",
            "load_best_model_at_end": "false",
            "disable_tqdm": "true",
        }
        recipe = load_recipe(RECIPE, [f"--{key}={value}" for key, value in overrides.items()])
        args: Any = recipe.training
        args.use_cpu = job["device"] == "cpu"
        model = contrastive_graph_model(graph, recipe.model, recipe.negatives, args)
        trainer, timer = GraphTrainer(model, args, graph.train), StepTimer(WARMUP)
        trainer.add_callback(timer)
        trainer.train()
    return job["batch"] / timer.mean


def ours_ranks(job: dict[str, Any], graph: KnowledgeGraph) -> float:
    """Head and tail of each triple, filtered."""
    config = KnowledgeGraphConfig(len(graph.entities), len(graph.relations), job["interaction"], job["dimension"])
    model = KnowledgeGraphModel(config).to(job["device"])
    part = KnowledgeGraph(graph.entities, graph.relations, graph.train, graph.valid, graph.test[: job["triples"]])
    return rate_of(
        lambda: evaluate_link_prediction(model, part, batch_size=256, progress=False), len(part.test), job["device"]
    )


def pykeen_trains(job: dict[str, Any], graph: KnowledgeGraph) -> float:
    """Its stochastic local closed world loop with its basic sampler, as many steps as ours."""
    from pykeen.training import SLCWATrainingLoop

    rows = (WARMUP + job["steps"]) * job["batch"]
    model, factory = twin(job, graph, mapped(graph.train)[:rows])
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=torch.optim.Adagrad(model.parameters(), lr=0.01),
        negative_sampler="basic",
        negative_sampler_kwargs={"num_negs_per_pos": job["negatives"]},
    )
    options = {"batch_size": job["batch"], "use_tqdm": False, "use_tqdm_batch": False}
    triples = factory.num_triples
    loop.train(factory, num_epochs=1, **options)  # the first pass warms up
    # Told of one epoch only, it would find that one done, and train nothing.
    again = rate_of(
        lambda: loop.train(factory, num_epochs=2, continue_training=True, **options), triples, job["device"]
    )
    steps = {int(state["step"]) for state in loop.optimizer.state.values()}
    if steps != {2 * -(-triples // job["batch"])}:
        raise RuntimeError(f"PyKEEN was to take {2 * -(-triples // job['batch'])} steps, and took {steps}")
    return again


def pykeen_ranks(job: dict[str, Any], graph: KnowledgeGraph) -> float:
    """The same triples with the same filter."""
    from pykeen.evaluation import RankBasedEvaluator

    model, _ = twin(job, graph, mapped(graph.train))
    test, others = mapped(graph.test)[: job["triples"]], [mapped(graph.train), mapped(graph.valid)]
    evaluator = RankBasedEvaluator(filtered=True)
    return rate_of(
        lambda: evaluator.evaluate(model, test, 256, additional_filter_triples=others, use_tqdm=False),
        len(test),
        job["device"],
    )


def twin(job: dict[str, Any], graph: KnowledgeGraph, triples: torch.Tensor) -> tuple[Any, Any]:
    """PyKEEN's model of the same size, and its triples."""
    from pykeen.models import ComplEx, DistMult, RotatE, TransE
    from pykeen.triples import CoreTriplesFactory

    factory = CoreTriplesFactory(triples.numpy(), len(graph.entities), len(graph.relations))
    kinds = {"transe": TransE, "distmult": DistMult, "complex": ComplEx, "rotate": RotatE}
    of_complex = job["interaction"] in ("complex", "rotate")
    dimension = job["dimension"] // 2 if of_complex else job["dimension"]
    model = kinds[job["interaction"]](
        triples_factory=factory,
        embedding_dim=dimension,
        random_seed=job["seed"],
        loss="bcewithlogits",  # negative sampling, as ours
        **PLAIN[job["interaction"]],
    )
    return model.to(job["device"]), factory


def mapped(triples: Triples) -> torch.Tensor:
    """Rows [N, 3] of head, relation, tail."""
    return torch.stack([triples.heads, triples.relations, triples.tails], 1)


def rate_of(work: Callable[[], Any], triples: int, device: str) -> float:
    """Triples a second of one call."""
    begin = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return triples / (time.perf_counter() - begin)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
