"""The files by which sentence-transformers finds its way in a model folder, written and read.

Only its core module classes are named, so that a folder loads without `trust_remote_code`:

    Transformer -> [WeightedLayerPooling] -> Pooling -> [Dense + Tanh] -> [Dense] -> [Normalize]

The class paths and the `pooling_mode_*` keys of the older releases are written beside the new keys: every
sentence-transformers since 2.2 and text-embeddings-inference read them. The latter looks at 1_Pooling alone, so that
it cannot serve what has a WeightedLayerPooling before it.
"""

import json
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hf_contrastive.errors import CheckpointError, RecipeError
from hf_contrastive.models.pooling import layer_weights

logger = logging.getLogger(__name__)

_PREFIX = "sentence_transformers.models."
_PATTERNS = ["modules.json", "sentence_bert_config.json", "*/config.json", "*/model.safetensors"]
_POOLING_MODES = {
    "cls": "cls",
    "cls_before_pooler": "cls",
    "avg": "mean",
    "avg_top2": "mean",
    "avg_first_last": "mean",
    "last": "lasttoken",
}
_ACTIVATIONS = {
    "dense": "torch.nn.modules.activation.Tanh",
    "projection": "torch.nn.modules.linear.Identity",
}
_LEGACY_KEYS = {
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "lasttoken": "lasttoken",
}
_NEWER_KEYS = frozenset({"lasttoken"})  # sentence-transformers 2.2 refuses it; written only where it is the mode
_MODULE_FILES = frozenset({"config.json", "model.safetensors"})


@dataclass
class Layout:
    """What the module files of a folder say."""

    pooler: str
    max_length: int | None = None
    lower_case: bool = False  # whether text is lower-cased before the tokeniser sees it
    dense: dict[str, Tensor] | None = None
    projection: dict[str, Tensor] | None = None
    normalize: bool = False


def check_publishable(pooler: str) -> None:
    """Raise `RecipeError` for a pooler that no core Pooling module of sentence-transformers stands for."""
    if pooler not in _POOLING_MODES:
        raise RecipeError(
            f"pooler: {pooler!r} could be trained but not saved; add the mode of sentence-transformers' Pooling that "
            "it is to _POOLING_MODES in hf_contrastive/models/module_files.py"
        )


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_layout(
    folder: Path,
    pooler: str,
    width: int,
    num_layers: int,
    max_length: int,
    head: nn.Linear | None = None,
    normalize: bool = False,
    projection: nn.Linear | None = None,
) -> None:
    """Write modules.json and what it names into `folder`, which already holds the backbone; others' modules go.

    Args:
        width: size D of the token vectors.
        num_layers: number of transformer layers.
        max_length: tokens a sentence.
        head: weights [D, D] and bias [D] of the head kept at test, followed by tanh.
        normalize: whether the vectors are made unit vectors.
        projection: weights [K, D] and bias [K] of the linear map after pooling and head.
    """
    for stale in folder.glob("[0-9]*_*/*"):
        if re.fullmatch(r"\d+_[A-Za-z]+", stale.parent.name) and stale.name in _MODULE_FILES:
            stale.unlink()
    modules = [("", "Transformer")]
    settings: dict[str, Any] = {"max_seq_length": max_length, "do_lower_case": False}
    weights = layer_weights(pooler, num_layers)
    if weights is not None:
        start, factors = weights
        path = f"{len(modules)}_WeightedLayerPooling"
        config = {"word_embedding_dimension": width, "layer_start": start, "num_hidden_layers": num_layers}
        _write_json(folder / path / "config.json", config)
        save_file({"layer_weights": torch.tensor(factors)}, folder / path / "model.safetensors")
        modules.append((path, "WeightedLayerPooling"))
        # sentence-transformers hands the layers on only where the configuration asks the backbone for them.
        if (folder / "config.json").is_file():
            backbone_config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            _write_json(folder / "config.json", {**backbone_config, "output_hidden_states": True})
        else:  # adapters alone: the configuration is their base model's
            settings["config_args"] = {"output_hidden_states": True}
    _write_json(folder / "sentence_bert_config.json", settings)
    mode = _POOLING_MODES[pooler]
    path = f"{len(modules)}_Pooling"
    known = {name: key for name, key in _LEGACY_KEYS.items() if name == mode or name not in _NEWER_KEYS}
    legacy = {f"pooling_mode_{key}": name == mode for name, key in known.items()}
    _write_json(folder / path / "config.json", {"word_embedding_dimension": width, "pooling_mode": mode, **legacy})
    modules.append((path, "Pooling"))
    for part, linear in (("dense", head), ("projection", projection)):
        if linear is not None:
            path = f"{len(modules)}_Dense"
            sizes = {"in_features": linear.in_features, "out_features": linear.out_features, "bias": True}
            _write_json(folder / path / "config.json", {**sizes, "activation_function": _ACTIVATIONS[part]})
            state = {
                f"linear.{name}": value.detach().cpu().contiguous() for name, value in linear.state_dict().items()
            }
            save_file(state, folder / path / "model.safetensors")
            modules.append((path, "Dense"))
    if normalize:
        path = f"{len(modules)}_Normalize"
        (folder / path).mkdir(parents=True, exist_ok=True)
        modules.append((path, "Normalize"))
    listing = [{"idx": i, "name": str(i), "path": p, "type": _PREFIX + kind} for i, (p, kind) in enumerate(modules)]
    _write_json(folder / "modules.json", listing)
    about: dict[str, Any] = {"similarity_fn_name": "cosine", "prompts": {}, "default_prompt_name": None}
    _write_json(folder / "config_sentence_transformers.json", about)


def _pooling_mode(config: dict[str, Any], where: str) -> str:
    mode = config.get("pooling_mode")
    if mode is None:
        active = [name for name, key in _LEGACY_KEYS.items() if config.get(f"pooling_mode_{key}")]
        others = [k for k, v in config.items() if k.startswith("pooling_mode_") and v is True]
        mode = active[0] if len(active) == 1 == len(others) else others
    for pooler, name in (("avg", "mean"), ("cls", "cls"), ("last", "lasttoken")):
        if mode == name:
            return pooler
    raise CheckpointError(f"{where}: pooling {mode!r} is not supported; choose a pooler with --pooler")


def _with_dense(layout: Layout, path: Path, config: dict[str, Any]) -> Layout:
    activation = str(config.get("activation_function", "")).rsplit(".", 1)[-1]
    part = {"Tanh": "dense", "Identity": "projection"}.get(activation)
    if part is None or config.get("use_residual"):
        raise CheckpointError(
            f"{path / 'config.json'}: only a Dense module with Tanh or without an activation can be loaded"
        )
    if layout.normalize or layout.projection is not None or getattr(layout, part) is not None:
        raise CheckpointError(
            f"{path}: a Dense module after Normalize or after another of its kind is not supported; load the model in "
            "sentence-transformers"
        )
    state = {name.removeprefix("linear."): value for name, value in load_file(path / "model.safetensors").items()}
    if part == "dense":
        return replace(layout, dense=state)
    return replace(layout, projection={"bias": torch.zeros(len(state["weight"])), **state})


def find_layout(name_or_path: str, revision: str) -> Layout | None:
    """The module files of a folder, or of a Hub repository where it has them.

    Raises:
        CheckpointError: as of `read_layout`.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(name_or_path, revision=revision, allow_patterns=_PATTERNS))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            logger.warning("%s: module files could not be asked for (%s)", name_or_path, type(error).__name__)
            return None
    return read_layout(folder)


def read_layout(folder: Path) -> Layout | None:
    """Read what `write_layout` or sentence-transformers wrote; `None` where there is no modules.json.

    Raises:
        CheckpointError: a module that a `SentenceEncoder` cannot stand for.
    """
    if not (folder / "modules.json").is_file():
        return None
    layout = Layout(pooler="avg")
    pooler = None
    for module in json.loads((folder / "modules.json").read_text(encoding="utf-8")):
        kind, path = module["type"].rsplit(".", 1)[-1], folder / module["path"]
        config_path = path / "config.json"
        config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        if kind == "Transformer":
            settings = path / "sentence_bert_config.json"
            if settings.is_file():
                # From 6.0 on sentence-transformers keeps the length with the tokeniser and lower-cases in its files.
                found = json.loads(settings.read_text(encoding="utf-8"))
                lower_case = bool(found.get("do_lower_case"))
                layout = replace(layout, max_length=found.get("max_seq_length"), lower_case=lower_case)
        elif kind == "WeightedLayerPooling":
            factors = load_file(path / "model.safetensors")["layer_weights"].tolist()
            layers, start = config["num_hidden_layers"], config["layer_start"]
            known = [p for p in ("avg_top2", "avg_first_last") if layer_weights(p, layers) == (start, factors)]
            if not known:
                raise CheckpointError(f"{path}: layer weights {factors} from layer {start} match no pooler")
            pooler = known[0]
        elif kind == "Pooling":
            pooler = pooler or _pooling_mode(config, str(config_path))
        elif kind == "Dense":
            layout = _with_dense(layout, path, config)
        elif kind == "Normalize":
            layout = replace(layout, normalize=True)
        else:
            raise CheckpointError(
                f"{folder}: module {module['type']} is not supported; load it in sentence-transformers"
            )
    return replace(layout, pooler=pooler or "avg")
