"""Groups of commands: what they show of themselves, keys of tasks, errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import WIDE, run
from typer.testing import CliRunner

from hf_contrastive.cli import app


@pytest.mark.parametrize("group", ["words", "graph", "hypernymy"])
def test_a_group_alone_shows_what_it_can_do(group: str) -> None:
    done = CliRunner().invoke(app, [group], env=WIDE)
    commands = {"words": ["neighbours", "evaluate", "export"], "graph": ["predict"], "hypernymy": ["explain"]}
    assert all(name in done.output for name in commands[group])


@pytest.mark.parametrize("task", ["words", "graph", "hypernymy"])
def test_keys_are_those_of_the_task(task: str) -> None:
    only = {"words": "subsample", "graph": "interaction", "hypernymy": "protocol"}
    printed = run("keys", "--task", task)
    assert {key for key in only.values() if f"│ {key} " in printed} == {only[task]} and "│ task " in printed


def test_errors_come_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hf_contrastive.cli", "hypernymy", "explain", str(tmp_path), "a", "b"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert done.stdout == ""
