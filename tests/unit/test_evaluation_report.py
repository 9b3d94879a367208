import io
import json

import torch
import transformers
from rich.console import Console

import hf_contrastive
from hf_contrastive.evaluation import (
    STS_TASKS,
    TRANSFER_TASKS,
    EvaluationResults,
    STSResult,
    STSScore,
    TransferResult,
    TransferScore,
    environment,
    print_table,
    save_json,
)
from hf_contrastive.hub.scores import scores

SPEARMAN = [0.684, 0.8241, 0.7438, 0.8091, 0.7856, 0.7685, 0.7223]
ACCURACY = [0.8118, 0.8646, 0.9445, 0.8888, 0.855, 0.898, 0.7443]


def results(name="SimCSE", comparable=True, tasks=STS_TASKS):
    scores = {
        task: STSScore(rho, 0.5, 0.5, {"A": 0.5}, 9, True) for task, rho in zip(STS_TASKS, SPEARMAN, strict=True)
    }
    scores["SICKRelatedness"] = STSScore(0.7223, None, None, {}, 9927, comparable)
    accuracy = {task: TransferScore(a, None, 9) for task, a in zip(TRANSFER_TASKS, ACCURACY, strict=True)}
    sts = STSResult({task: scores[task] for task in tasks}, "Hub")
    return EvaluationResults(name, sts, TransferResult(accuracy), seconds=1.5)


def printed(*args):
    console = Console(file=io.StringIO(), width=160)
    print_table(*args, console=console)
    return console.file.getvalue()


def cells(text, name):
    [*rows] = [line for line in text.splitlines() if name in line]
    return [[cell.strip() for cell in row.strip("│┃").replace("┃", "│").split("│")] for row in rows]


def test_the_table_is_that_of_the_papers():
    text = printed(results())
    sts, transfer = cells(text, "SimCSE")
    assert cells(text, "STS-B")[0][1:] == ["STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R", "Avg."]
    assert sts[1:] == ["68.40", "82.41", "74.38", "80.91", "78.56", "76.85", "72.23", "76.25"]
    assert cells(text, "MPQA")[0][1:] == ["MR", "CR", "SUBJ", "MPQA", "SST", "TREC", "MRPC", "Avg."]
    assert transfer[1:] == ["81.18", "86.46", "94.45", "88.88", "85.50", "89.80", "74.43", "85.81"]
    assert "*" not in text and "Compare within this table" in " ".join(text.split())


def test_what_does_not_compare_is_marked():
    text = printed(results(comparable=False))
    assert "SICK-R*" in text and "Avg.*" in text and "not comparable with published numbers" in text


def test_transfer_is_said_not_to_be_sentevals_own():
    measured = {"recipe": {}, "after": {"transfer": {"scores": {"MR": {"accuracy": 0.8}}}}}
    assert "Compare within this table" in printed(results())
    assert ["not SentEval's protocol" in score.label for score in scores(measured)] == [True]


def test_rows_share_a_table_whatever_tasks_they_have():
    text = printed(results("before", tasks=("STSBenchmark",)), results("after"))
    assert cells(text, "before")[0][1:] == ["-", "-", "-", "-", "-", "76.85", "-", "76.85"]
    assert len(cells(text, "STS-B")) == 1 and len(cells(text, "after")) == 2


def test_a_part_that_was_not_measured_is_not_printed():
    assert "Transfer" not in printed(EvaluationResults("x", sts=results().sts))
    assert "STS" not in printed(EvaluationResults("x", transfer=results().transfer))


def test_the_file_says_what_was_measured_and_on_what(tmp_path):
    path = tmp_path / "results" / "run.json"
    save_json(path, results("before"), results("after", comparable=False))
    content = json.loads(path.read_text())
    before, after = content["results"]
    assert content["environment"] == json.loads(json.dumps(environment()))
    assert (before["name"], before["seconds"]) == ("before", 1.5)
    assert before["sts"]["scores"]["STS13"]["spearman"] == 0.8241
    assert round(before["sts"]["average"], 4) == 0.7625
    assert round(before["transfer"]["average"], 4) == 0.8581
    assert (before["sts"]["not_comparable"], after["sts"]["not_comparable"]) == ([], ["SICKRelatedness"])
    assert EvaluationResults("x").to_dict() == {
        "name": "x",
        "sts": None,
        "transfer": None,
        "retrieval": None,
        "seconds": None,
        "mteb": None,
    }


def test_the_environment_names_versions_and_machine():
    facts = environment()
    assert facts["torch"] == torch.__version__
    assert facts["transformers"] == transformers.__version__
    assert facts["hf_contrastive"] == hf_contrastive.__version__
    assert facts["cores"] >= 1 and facts["threads"] == torch.get_num_threads()
    assert facts["cpu"] and facts["cpu"] == facts["cpu"].strip()
    assert len(facts["gpus"]) == torch.cuda.device_count()
