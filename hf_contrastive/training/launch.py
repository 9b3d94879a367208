"""How `accelerate launch` was told to start the processes of a run."""

from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType


def launch_options(accelerator: Accelerator) -> dict[str, Any]:
    """Options of `accelerate launch` beside the number of processes, `True` for those without a value; empty for one.

    They name the kind of run, the release of FSDP or the stage of ZeRO; the rest of a configuration is not known here.
    """
    state = accelerator.state
    kind = accelerator.distributed_type
    if kind == DistributedType.FSDP:
        return {"use_fsdp": True, "fsdp_version": state.fsdp_plugin.fsdp_version}
    if kind == DistributedType.DEEPSPEED:
        return {"use_deepspeed": True, "zero_stage": state.deepspeed_plugin.zero_stage}
    return {DistributedType.MULTI_GPU: {"multi_gpu": True}, DistributedType.MULTI_CPU: {"cpu": True}}.get(kind, {})
