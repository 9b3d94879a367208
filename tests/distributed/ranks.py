"""Two gloo ranks on one machine."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from hf_contrastive.training.distributed import leave_process_group

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def launch(*arguments: str) -> None:
    """Start a script, or `-m MODULE`, on both ranks; a free port is looked for."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*TORCHRUN, *arguments], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def on_both_ranks(work: Callable[..., dict[str, Any]], *arguments: str) -> None:
    """What a worker does: `work` with all arguments but the last, which names rank 0's file of results."""
    *given, output = arguments
    dist.init_process_group("gloo")
    results = {"world_size": dist.get_world_size(), **work(*given)}
    if dist.get_rank() == 0:
        Path(output).write_text(json.dumps(results))
    gc.collect()
    # One that is still there would free the group when it goes, and may then wait for ever.
    assert not any(isinstance(found, DistributedDataParallel) for found in gc.get_objects())
    leave_process_group()
