"""The command line on tiny models: evaluate, keys, samplers, and the Trainer classes used from Python."""

import json
import random
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from helpers import save_tiny_checkpoint
from runs import sentence
from typer.testing import CliRunner

from hf_contrastive import ContrastiveTrainingArguments, SentenceEncoder, SimCSETrainer, SupervisedSimCSETrainer
from hf_contrastive.cli import app
from hf_contrastive.errors import DataError
from hf_contrastive.evaluation.sts import STS_SHORT_NAMES

FILES = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSB-test", "SICKR-test")


@pytest.fixture
def sts_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sts"
    folder.mkdir()
    rng = random.Random(0)
    for name in FILES:
        rows = [f"s{i % 2}\t{rng.random() * 5:.2f}\t{sentence(rng)}\t{sentence(rng)}" for i in range(12)]
        (folder / f"{name}.tsv").write_text("subset\tscore\tsentence1\tsentence2\n" + "\n".join(rows) + "\n")
    return folder


def test_evaluate_prints_and_saves_the_table_of_any_checkpoint(tmp_path: Path, sts_folder: Path) -> None:
    torch.manual_seed(0)
    checkpoint = save_tiny_checkpoint(tmp_path / "checkpoint")
    output = tmp_path / "results" / "sts.json"
    arguments = ["evaluate", str(checkpoint), "--sts-data", str(sts_folder), "--output", str(output)]
    scores = {}
    for pooler in ("cls", "avg_first_last"):
        done = CliRunner().invoke(app, [*arguments, "--pooler", pooler, "--device", "cpu"], env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        assert all(name in done.output for name in STS_SHORT_NAMES.values()) and "Avg." in done.output
        saved = json.loads(output.read_text())
        assert saved["environment"]["torch"] == str(torch.__version__)
        scores[pooler] = saved["results"][0]["sts"]["average"]
    assert scores["cls"] != scores["avg_first_last"]


def test_evaluate_refuses_what_is_wrong(tmp_path: Path, sts_folder: Path) -> None:
    checkpoint = save_tiny_checkpoint(tmp_path / "checkpoint")
    for arguments, message in (
        (["--pooler", "clss"], "unknown pooler 'clss'; choose one of cls"),
        (["--task", "glue"], "unknown task 'glue'; choose one of sts, transfer"),
        (["--sts-data", str(tmp_path / "nowhere")], "sts_data: no folder"),
    ):
        done = CliRunner().invoke(app, ["evaluate", str(checkpoint), "--sts-data", str(sts_folder), *arguments])
        assert done.exit_code != 0
        assert message in str(done.exception) + done.output


def test_keys_and_samplers_are_listed() -> None:
    done = CliRunner().invoke(app, ["keys", "temperature"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "Similarities are cosines divided by it" in done.output and "0.05" in done.output
    assert "max_steps" not in done.output
    done = CliRunner().invoke(app, ["samplers"], env={"COLUMNS": "200"})
    assert "in_batch" in done.output and "hard" in done.output
    done = CliRunner().invoke(app, ["augmentations"], env={"COLUMNS": "200"})
    assert "word_deletion" in done.output and "Leaves one word out." in done.output


def arguments(folder: Path, **options) -> ContrastiveTrainingArguments:
    return ContrastiveTrainingArguments(
        str(folder),
        per_device_train_batch_size=8,
        max_steps=2,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        **options,
    )


def test_trainers_take_plain_text_datasets(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = [sentence(rng) for _ in range(24)]
    encoder = SentenceEncoder.from_pretrained(
        str(save_tiny_checkpoint(tmp_path / "a")), pooler="cls", head="train_only"
    )
    before = encoder.encode(texts[:1])
    trainer = SimCSETrainer(encoder, arguments(tmp_path / "x"), Dataset.from_dict({"text": texts}))
    trainer.train()
    assert not torch.equal(before, encoder.encode(texts[:1]))

    columns = {"anchor": texts, "positive": texts[::-1], "negative": [*texts[1:], None]}
    trainer = SupervisedSimCSETrainer(encoder, arguments(tmp_path / "y"), Dataset.from_dict(columns))
    trainer.train()
    trainer.save_model(str(tmp_path / "final"))
    again = SentenceEncoder.from_pretrained(str(tmp_path / "final"))
    assert torch.equal(again.encode(texts), encoder.encode(texts))
    with pytest.raises(DataError, match="do not say which hold the sentences"):
        SimCSETrainer(encoder, arguments(tmp_path / "z"), Dataset.from_dict({"a": texts, "b": texts}))


def test_evaluator_of_ones_own_chooses_the_checkpoint(tmp_path: Path) -> None:
    rng = random.Random(0)
    encoder = SentenceEncoder.from_pretrained(str(save_tiny_checkpoint(tmp_path / "a")))
    calls = []

    def evaluator(encode) -> dict[str, float]:
        calls.append(encode(["a man sits", "two dogs run"]).shape)
        return {"mine": -float(len(calls))}

    trainer = SimCSETrainer(
        encoder,
        arguments(
            tmp_path / "x",
            eval_strategy="steps",
            eval_steps=1,
            save_steps=1,
            load_best_model_at_end=True,
            metric_for_best_model="mine",
            greater_is_better=True,
        ),
        Dataset.from_dict({"text": [sentence(rng) for _ in range(24)]}),
        evaluator=evaluator,
    )
    trainer.train()
    assert calls == [(2, 32), (2, 32)]
    assert trainer.state.best_metric == -1.0 and trainer.state.best_global_step == 1
