"""What counts as training: data, passes and optimizer, and not evaluation, saving and logging."""

import time
from pathlib import Path

import pytest
import torch

from hf_contrastive.arguments import GraphModelArguments, GraphNegativesArguments, GraphTrainingArguments
from hf_contrastive.data import KnowledgeGraph, Triples
from hf_contrastive.training.graphs import GraphTrainer, contrastive_graph_model

STEPS, SECONDS = 4, 0.05


@pytest.mark.parametrize("accumulated", [1, 2])
def test_seconds_of_the_optimizer_count_and_those_of_evaluation_do_not(tmp_path: Path, accumulated: int) -> None:
    ids = torch.arange(16) % 5
    triples = Triples(ids, torch.zeros_like(ids), (ids + 1) % 5)
    graph = KnowledgeGraph([*"abcde"], ["next"], triples, triples[:1], triples[:1])
    args = GraphTrainingArguments(
        str(tmp_path),
        max_steps=STEPS,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=accumulated,
        eval_strategy="steps",
        eval_steps=1,
        logging_steps=1,
        save_steps=2,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    model = contrastive_graph_model(graph, GraphModelArguments(dimension=4), GraphNegativesArguments(), args)

    def evaluator(_: object) -> dict[str, float]:
        time.sleep(4 * SECONDS)
        return {"mrr": 0.0}

    trainer = GraphTrainer(model, args, triples, evaluator=evaluator)
    trainer.create_optimizer().register_step_pre_hook(lambda *_: time.sleep(SECONDS))
    begin = time.perf_counter()
    trainer.train()
    whole = time.perf_counter() - begin
    seconds = [log["train_seconds"] for log in trainer.state.log_history if "train_seconds" in log]
    assert len(seconds) == STEPS and seconds == sorted(seconds)
    assert STEPS * SECONDS <= seconds[-1] <= whole - STEPS * 4 * SECONDS
    assert trainer.train_seconds() == pytest.approx(seconds[-1], abs=0.06)  # tenths
