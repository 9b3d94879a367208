"""The last sentences seen, tokenised, with the vectors of when they were last encoded.

What samplers draw from where the candidates are sentences. A sentence that is drawn can be encoded anew, because its
tokens are here; one that is not takes part with its last vector, as a constant. Every rank holds the same bank.
"""

import torch
from torch import Tensor, nn


class SentenceBank(nn.Module):
    """A ring of `size` sentences; the oldest are overwritten. All of it is in checkpoints, none in what is published.

    Args:
        size: N, sentences.
        length: L, tokens a sentence at most.
        width: D, size of the vectors.
        pad_id: token that fills rows up.
    """

    tokens: Tensor
    lengths: Tensor
    vectors: Tensor
    keys: Tensor
    anchor_keys: Tensor
    written: Tensor
    cursor: Tensor

    def __init__(self, size: int, length: int, width: int, pad_id: int) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.full((size, length), pad_id, dtype=torch.int32))
        self.register_buffer("lengths", torch.ones(size, dtype=torch.long))  # 1: no row is without a token
        self.register_buffer("vectors", torch.zeros(size, width, dtype=torch.float16))
        self.register_buffer("keys", torch.zeros(size, dtype=torch.long))
        self.register_buffer("anchor_keys", torch.zeros(size, dtype=torch.long))
        self.register_buffer("written", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.long))
        self.pad_id = pad_id

    def __len__(self) -> int:
        return len(self.tokens)

    def padded(self, input_ids: Tensor) -> Tensor:
        """Token ids [n, l] in the width of the bank, [n, L] int32; columns beyond it only pad."""
        out = torch.full(
            (len(input_ids), self.tokens.shape[1]), self.pad_id, dtype=torch.int32, device=input_ids.device
        )
        width = min(input_ids.shape[1], out.shape[1])
        out[:, :width] = input_ids[:, :width]
        return out

    @torch.no_grad()
    def write(self, tokens: Tensor, lengths: Tensor, vectors: Tensor, keys: Tensor, anchor_keys: Tensor) -> None:
        """Put n sentences in the place of the oldest n.

        Args:
            tokens: [n, L], see `padded`.
            lengths: [n], tokens of each.
            vectors: [n, D], unit.
            keys: [n], of the sentences.
            anchor_keys: [n], of the anchors whose positives they are.
        """
        n = min(len(tokens), len(self))
        rows = (self.cursor + torch.arange(n, device=tokens.device)) % len(self)
        self.tokens[rows] = tokens[-n:]
        self.lengths[rows] = lengths[-n:]
        self.vectors[rows] = vectors[-n:].to(self.vectors.dtype)
        self.keys[rows] = keys[-n:]
        self.anchor_keys[rows] = anchor_keys[-n:]
        self.written[rows] = True
        self.cursor.add_(n).remainder_(len(self))

    def sentences(self, rows: Tensor) -> tuple[Tensor, Tensor, list[int]]:
        """Token ids [F, l], attention mask [F, l] and lengths of rows [F]."""
        lengths = self.lengths[rows]
        if lengths.device.type == "cpu":
            on_host = lengths.tolist()
        else:  # asking the device would make it wait: every row counts as a full one
            on_host = [self.tokens.shape[1]] * len(rows)
        width = max(on_host)
        mask = (torch.arange(width, device=rows.device) < lengths.unsqueeze(1)).long()
        return self.tokens[rows, :width].long(), mask, on_host

    @torch.no_grad()
    def refresh(self, rows: Tensor, vectors: Tensor) -> None:
        """Newer vectors [F, D] of rows [F]."""
        self.vectors[rows] = vectors.to(self.vectors.dtype)
