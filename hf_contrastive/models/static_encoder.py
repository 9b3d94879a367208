"""StaticEmbedding models of sentence-transformers, such as runs on words leave, to be measured like encoders."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from xxhash import xxh3_64

from hf_contrastive.errors import CheckpointError


def is_static(model: str) -> bool:
    """Whether it is a folder whose first module is a StaticEmbedding."""
    listing = Path(model) / "modules.json"
    return listing.is_file() and [kind for kind, _ in _modules(listing)][:1] == ["StaticEmbedding"]


class StaticEncoder(nn.Module):
    """Texts to the means of their tokens' rows; a text without a known token has the vector zero.

    Args:
        tokenizer: text to row numbers.
        weight: [V, D].
        normalize: whether `encode` returns unit vectors.
    """

    eval_pooler = "avg"

    def __init__(self, tokenizer: Tokenizer, weight: Tensor, normalize: bool) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.embedding = nn.EmbeddingBag.from_pretrained(weight.float())
        self.normalize = normalize

    @classmethod
    def from_pretrained(cls, model: str) -> Self:
        """Load a folder that `is_static` knows.

        Raises:
            CheckpointError: other modules behind, or files that are not there or not as sentence-transformers 5 and 6
                write them.
        """
        kinds, paths = zip(*_modules(Path(model) / "modules.json"), strict=True)
        if kinds[1:] not in ((), ("Normalize",)):
            raise CheckpointError(f"{model}: module {kinds[1]} behind StaticEmbedding is not supported")
        folder = Path(model) / paths[0]
        for name in ("tokenizer.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder}: no {name}; fetch the folder again")
        weights = load_file(folder / "model.safetensors")
        if "embedding.weight" not in weights:
            raise CheckpointError(f"{folder}: no embedding.weight; save the model in sentence-transformers first")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        return cls(tokenizer, weights["embedding.weight"], "Normalize" in kinds)

    def fingerprint(self) -> str:
        """A hash of what decides the vectors."""
        digest = xxh3_64(self.embedding.weight.detach().cpu().numpy().tobytes())
        digest.update(self.tokenizer.to_str().encode())
        return f"StaticEmbedding {digest.hexdigest()} {self.normalize}"

    @torch.no_grad()
    def encode(self, sentences: Sequence[str], *, batch_size: int = 64, **_: Any) -> Tensor:
        """Texts to float32 [N, D] on the CPU; further options of a `SentenceEncoder` change nothing."""
        parts = [torch.empty(0, self.embedding.embedding_dim)]
        for start in range(0, len(sentences), batch_size):
            texts = list(sentences[start : start + batch_size])
            rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
            lengths = torch.tensor([0, *map(len, rows[:-1])])
            ids = torch.tensor([row for text in rows for row in text], dtype=torch.long)
            device = self.embedding.weight.device
            parts.append(self.embedding(ids.to(device), lengths.cumsum(0).to(device)).cpu())
        vectors = torch.cat(parts)
        return nn.functional.normalize(vectors, dim=-1) if self.normalize else vectors


def _modules(listing: Path) -> list[tuple[str, str]]:
    """Class and path of each module."""
    modules = json.loads(listing.read_text(encoding="utf-8"))
    return [(module["type"].rsplit(".", 1)[-1], module["path"]) for module in modules]
