"""Started by torchrun on two ranks: sentence-transformers' trainer with a generator, and what each rank ends with."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from peer_trainer import three_steps
from safetensors.torch import save_file

from hf_contrastive.training.distributed import leave_process_group, rank, world_size

checkpoint, out = sys.argv[1:]
state = three_steps(checkpoint, Path(out) / "run")
assert world_size() == 2
save_file(state, f"{out}/rank{rank()}.safetensors")
leave_process_group()
