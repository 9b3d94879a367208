"""Rows of ids, dealt out a batch at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset


class TensorRows(Dataset):
    """N rows of equally long lists of ids.

    Args:
        columns: [N] each, by the name under which the model takes them.
    """

    def __init__(self, **columns: Tensor) -> None:
        self.names = list(columns)
        self.rows = torch.stack(list(columns.values()), dim=1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        return self.rows[index]

    def __getitems__(self, indices: list[int]) -> Tensor:
        return self.rows[torch.tensor(indices)]

    def collate(self, rows: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """Columns [B] by name."""
        batch = rows if isinstance(rows, Tensor) else torch.stack(list(rows))
        return dict(zip(self.names, batch.unbind(1), strict=True))
