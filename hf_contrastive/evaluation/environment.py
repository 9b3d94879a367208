"""On what something was measured: versions and machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import transformers

from hf_contrastive import __version__

_OTHERS = ("datasets", "accelerate", "sentence_transformers", "peft")


def environment() -> dict[str, Any]:
    """Versions of what computes, and the machine; JSON-able.

    Returns:
        `python`, `torch`, `transformers`, `hf_contrastive`: versions; `datasets`, `accelerate`,
        `sentence_transformers`, `peft`: of what is installed of them. `platform`; `cpu`: name of the processor;
        `cores`: those this process may use; `threads`: those torch uses; `gpus`: names, empty without any.
    """
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "hf_contrastive": __version__,
        **{name: found for name in _OTHERS if (found := _version(name)) is not None},
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
