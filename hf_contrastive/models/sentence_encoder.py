"""A sentence encoder: a Transformers backbone, a pooler, and perhaps an MLP head and a linear map."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from hf_contrastive.arguments import HEADS, POOLERS, one_of
from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.models.backbone import load_backbone, load_tokenizer
from hf_contrastive.models.dropout import use_fast_dropout
from hf_contrastive.models.lora import add_lora, merged, save_adapter
from hf_contrastive.models.module_files import Layout, check_publishable, find_layout, write_layout
from hf_contrastive.models.pooling import NEEDS_ALL_LAYERS, pool
from hf_contrastive.models.token_batches import token_batches
from hf_contrastive.positions import default_length, positions_of

_ONNX_FILES = ("onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx.data")


class SentenceEncoder(nn.Module):
    """Sentences to vectors.

    Args:
        backbone: the bare Transformers model.
        tokenizer: its tokeniser.
        pooler: how token vectors become one, see `hf_contrastive.models.pooling`.
        head: `none`; `train_only`, a linear layer with tanh that is dropped at test (unsupervised SimCSE); or `kept`.
        max_length: tokens a sentence when `encode` is called.
        normalize: whether `encode` returns unit vectors.

    Attributes:
        projection: the linear map behind pooler and head, see `project`; `None` without one.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: Any,
        pooler: str = "avg",
        head: str = "none",
        max_length: int = 128,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        one_of("pooler", pooler, POOLERS)
        one_of("head", head, HEADS)
        check_publishable(pooler)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.pooler = pooler
        self.eval_pooler = pooler
        self.head_mode = head
        self.max_length = max_length
        self.normalize = normalize
        hidden_size = backbone.config.hidden_size
        self.head = nn.Linear(hidden_size, hidden_size) if head != "none" else None
        self.projection: nn.Linear | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str,
        *,
        pooler: str | None = None,
        head: str | None = None,
        max_length: int | None = None,
        revision: str = "main",
        dropout: float | None = None,
        fast_dropout: bool = True,
        attn_implementation: str | None = None,
        trust_remote_code: bool = False,
        lora: dict[str, Any] | None = None,
    ) -> Self:
        """Load any checkpoint: a bare one, one of ours, or one of sentence-transformers'.

        Args:
            name_or_path: folder or Hub name.
            pooler: default: what the folder's modules.json says, else `avg`.
            head: default: the folder's own head, kept; a folder without one has none.
            max_length: tokens a sentence; default: the folder's, or all that the model can take where it is one of
                sentence-transformers' that names none; at most 128 for a bare checkpoint.
            dropout: rate to train with instead of the checkpoint's own.
            lora: arguments of `add_lora`.

        Raises:
            CheckpointError: nothing there that can be loaded, or another pooler or head than its linear map is for.
        """
        shared: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        backbone = load_backbone(name_or_path, dropout=dropout, attn_implementation=attn_implementation, **shared)
        found = find_layout(name_or_path, revision)
        layout = found or Layout(pooler="avg")
        tokenizer = load_tokenizer(name_or_path, lower_case=layout.lower_case, **shared)
        length = max_length or layout.max_length or default_length(backbone, tokenizer, is_bare=found is None)
        if fast_dropout:
            use_fast_dropout(backbone)
        if lora is not None:
            backbone = add_lora(backbone, revision=revision, **lora)
        has_own_head = layout.dense is not None and pooler != "cls_before_pooler"
        own_head = "kept" if layout.dense is not None else "none"
        if layout.projection is not None and (pooler or layout.pooler, head or own_head) != (layout.pooler, own_head):
            raise CheckpointError(
                f"{name_or_path}: its last linear map (a whitening, say) was fitted with pooler {layout.pooler} and "
                f"head {own_head}; leave pooler and head as they are, or load the model it was fitted to"
            )
        encoder = cls(
            backbone,
            tokenizer,
            pooler=pooler or layout.pooler,
            head=head or ("kept" if has_own_head else "none"),
            max_length=length,
            normalize=layout.normalize,
        )
        if has_own_head and encoder.head is not None and layout.dense is not None:
            encoder.head.load_state_dict(layout.dense)
        if layout.projection is not None:
            encoder.project(layout.projection["weight"], layout.projection["bias"])
        return encoder

    @property
    def config(self) -> Any:
        """The backbone's configuration."""
        return self.backbone.config

    @property
    def width(self) -> int:
        """Size D of the vectors."""
        return self.backbone.config.hidden_size if self.projection is None else self.projection.out_features

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.backbone.parameters()).device

    def check_positions(self, max_length: int) -> None:
        """Raise `RecipeError` for sentences longer than the model has positions for."""
        positions = positions_of(self.backbone, self.tokenizer)
        if max_length > positions:
            raise RecipeError(f"max_length: {max_length} tokens are more than the {positions} positions the model has")

    def uses_head(self) -> bool:
        """Whether the head is applied in the present mode (training or test)."""
        return self.head is not None and (self.training or self.head_mode == "kept")

    def project(self, weight: Tensor, bias: Tensor) -> None:
        """Append the linear map y = weight x + bias, x being what the encoder gives before it is made a unit vector.

        It is published as a core Dense module of sentence-transformers, and is not trained. A map that is there
        already becomes one with it.

        Args:
            weight: [K, D], kept as float32.
            bias: [K].

        Raises:
            CheckpointError: shapes that do not fit.
        """
        weight, bias = weight.double(), bias.double()
        if weight.ndim != 2 or weight.shape[1] != self.width or bias.shape != weight.shape[:1]:
            raise CheckpointError(
                f"a linear map of shape {list(weight.shape)} with a bias of {list(bias.shape)} does not fit vectors "
                f"of {self.width} numbers"
            )
        if self.projection is not None:
            bias = bias + weight @ self.projection.bias.detach().cpu().double()
            weight = weight @ self.projection.weight.detach().cpu().double()
        projection = nn.Linear(weight.shape[1], weight.shape[0])
        projection.load_state_dict({"weight": weight.float(), "bias": bias.float()})
        self.projection = projection.requires_grad_(False).to(self.device)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids [S, L] and mask [S, L] to float32 vectors [S, D]; not normalised."""
        return self.pooled(self.tokens(input_ids, attention_mask), attention_mask)

    def tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """The backbone's output, with the layers that the pooler of the present mode needs."""
        pooler = self.pooler if self.training else self.eval_pooler
        options = {"output_hidden_states": True} if pooler in NEEDS_ALL_LAYERS else {}
        return self.backbone(input_ids=input_ids, attention_mask=attention_mask, **options)

    def pooled(self, outputs: Any, attention_mask: Tensor) -> Tensor:
        """What `tokens` gave, through pooler, head and linear map, to float32 vectors [S, D]; not normalised."""
        pooler = self.pooler if self.training else self.eval_pooler
        pooled = pool(outputs, attention_mask, pooler)
        if self.uses_head() and self.head is not None and pooler != "cls_before_pooler":
            pooled = torch.tanh(self.head(pooled)).float()
        if self.projection is not None:
            # Never in bfloat16: a whitening stretches small differences of large numbers.
            with torch.autocast(pooled.device.type, enabled=False):
                pooled = self.projection(pooled)
        return pooled

    @torch.no_grad()
    def encode(
        self,
        sentences: Sequence[str],
        *,
        batch_size: int = 64,
        batch_tokens: int | None = None,
        bf16: bool = False,
        progress: bool = False,
        normalize: bool | None = None,
        forward: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Encode sentences at test: dropout off, a `train_only` head left out.

        Args:
            sentences: N strings; each truncated to `max_length` tokens.
            batch_size: sentences at a time; sentences of like numbers of tokens share a batch.
            batch_tokens: tokens at a time, padding included, in place of `batch_size`.
            bf16: run the backbone under bfloat16 autocast.
            progress: show a bar with the rate and the time left.
            normalize: unit vectors; default: what the folder says.
            forward: called in place of this module, where something around it must see the call (FSDP).

        Returns:
            float32 [N, D] on the CPU, in the order of `sentences`.
        """
        if isinstance(sentences, str):
            raise TypeError("sentences is one string; encode takes a list of strings")
        was_training = self.training
        self.eval()
        try:
            out = torch.empty(len(sentences), self.width)
            batches = token_batches(sentences, self.tokenizer, self.max_length, batch_size, batch_tokens)
            bar = tqdm(total=len(sentences), unit="sentences", desc="encode", disable=not progress)
            # One context for all batches: autocast keeps the converted weights until it is left.
            with bar, torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                for places, tokens, mask in batches:
                    vectors = (forward or self)(tokens.to(self.device), mask.to(self.device))
                    out[torch.from_numpy(places)] = vectors.float().cpu()
                    bar.update(len(places))
        finally:
            self.train(was_training)
        return nn.functional.normalize(out, dim=-1) if (self.normalize if normalize is None else normalize) else out

    def save_pretrained(self, folder: str | Path, state_dict: dict[str, Tensor] | None = None) -> None:
        """Write a folder that AutoModel, SentenceTransformer and `from_pretrained` load; adapters are merged.

        What an earlier model left there and would not fit is removed: module folders, and a graph in `onnx/`.

        Args:
            folder: made where it does not exist.
            state_dict: the encoder's gathered weights, where its own are shards (FSDP, DeepSpeed).
        """
        encoder = self._with(state_dict)
        for name in _ONNX_FILES:  # first: a kill must not leave newer weights beside an older graph
            (Path(folder) / name).unlink(missing_ok=True)
        merged(encoder.backbone).save_pretrained(folder)
        encoder._save_around(Path(folder))

    def save_adapter(self, folder: str | Path, state_dict: dict[str, Tensor] | None = None) -> None:
        """Write a folder with the adapters alone, which peft, SentenceTransformer and `from_pretrained` load.

        Args:
            folder, state_dict: as in `save_pretrained`.

        Raises:
            CheckpointError: there are no adapters.
        """
        encoder = self._with(state_dict)
        save_adapter(encoder.backbone, Path(folder))
        encoder._save_around(Path(folder))

    def _with(self, state_dict: dict[str, Tensor] | None) -> Self:
        if state_dict is None:
            return self
        encoder = copy.deepcopy(self).cpu()
        encoder.load_state_dict(state_dict)
        return encoder

    def _save_around(self, folder: Path) -> None:
        """Tokenizer and module files."""
        self.tokenizer.save_pretrained(folder)
        kept = self.head if self.head_mode == "kept" and self.eval_pooler != "cls_before_pooler" else None
        config = self.backbone.config
        write_layout(
            folder,
            self.eval_pooler,
            config.hidden_size,
            config.num_hidden_layers,
            self.max_length,
            kept,
            self.normalize,
            self.projection,
        )
