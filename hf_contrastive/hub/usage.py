"""Code that loads a published model, for its card; `PLACE` in it stands for the model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_contrastive.models.lora import ADAPTER_CONFIG
from hf_contrastive.models.module_files import Layout, read_layout

PLACE = "path/to/this/folder"  # `publish` writes the repository's name in its place
_BASE_PLACE = "path/to/the/base/model"  # of adapters whose base model has no name on the Hub; they are not published

_POOL = {
    "cls": "vectors = outputs.last_hidden_state[:, 0]",
    "avg": "hidden = outputs.last_hidden_state",
    "avg_top2": "hidden = (outputs.hidden_states[-1] + outputs.hidden_states[-2]) / 2",
    "avg_first_last": "hidden = (outputs.hidden_states[1] + outputs.hidden_states[-1]) / 2",
    "last": 'vectors = outputs.last_hidden_state[torch.arange(len(texts)), batch["attention_mask"].sum(1) - 1]',
}
_MEAN = ['mask = batch["attention_mask"][:, :, None]', "vectors = (hidden * mask).sum(1) / mask.sum(1)"]


@dataclass(frozen=True)
class Usage:
    """A block of code and the line above it."""

    about: str
    code: str


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds adapters alone, without the model they are added to."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def usage(task: str, folder: Path, base: str | None = None) -> list[Usage]:
    """How the model in `folder` is loaded, the shortest way first.

    Args:
        base: the base model's name on the Hub, for adapters.
    """
    if is_adapter(folder):
        return _adapter(folder, base or _BASE_PLACE)
    return {"sentences": _sentences, "words": _words, "graph": _graph, "hypernymy": _hypernymy}[task](folder)


_SHORT = [
    "from sentence_transformers import SentenceTransformer",
    "",
    f'model = SentenceTransformer("{PLACE}")',
    'vectors = model.encode(["A man plays the guitar.", "Someone makes music."])',
    "print(model.similarity(vectors, vectors))",
]


def _adapter(folder: Path, base: str) -> list[Usage]:
    layout = read_layout(folder) or Layout(pooler="avg")
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    architecture = {"architectures": [(config.get("auto_mapping") or {}).get("base_model_class", "")]}
    named = f'"{base}", revision="{config["revision"]}"' if config.get("revision") else f'"{base}"'
    blocks = [Usage("With Transformers and peft:", "\n".join(_torch(folder, layout, architecture, named)))]
    if not config.get("revision"):  # it would load another one of the base model
        about = "With sentence-transformers, which finds the base model by itself, the same vectors (peft is needed):"
        blocks.append(Usage(about, "\n".join(_SHORT)))
    return blocks


def _sentences(folder: Path) -> list[Usage]:
    layout = read_layout(folder) or Layout(pooler="avg")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    pipe = [
        "from transformers import pipeline",
        "",
        f'tokens = pipeline("feature-extraction", model="{PLACE}")',
        'vectors_of_tokens = tokens("A man plays the guitar.")',
    ]
    blocks = [Usage("With sentence-transformers:", "\n".join(_SHORT))]
    blocks.append(Usage("With Transformers and torch, the same vectors:", "\n".join(_torch(folder, layout, config))))
    if not str((config.get("architectures") or [""])[0]).startswith("T5"):
        about = "Vectors of single tokens, before they are pooled, in a pipeline:"
        blocks.append(Usage(about, "\n".join(pipe)))
    return blocks


def _torch(folder: Path, layout: Layout, config: dict[str, Any], base: str | None = None) -> list[str]:
    """Lines that encode two texts; `base` is what the base model of adapters is loaded by."""
    architecture = str((config.get("architectures") or [""])[0])
    kind = architecture if architecture.endswith("EncoderModel") else "AutoModel"
    imports = ["import torch"]
    if base is not None:
        imports.append("from peft import PeftModel")
    if layout.dense or layout.projection:
        imports.append("from safetensors.torch import load_file")
    names = ["AutoTokenizer", kind] if kind != "AutoModel" else ["AutoModel", "AutoTokenizer"]
    imports.append(f"from transformers import {', '.join(names)}")
    if layout.dense or layout.projection:
        imports.append("from transformers.utils import cached_file")
    pad = ', padding_side="right"' if layout.pooler in ("cls", "last") else ""
    layers = ", output_hidden_states=True" if layout.pooler in ("avg_top2", "avg_first_last") else ""
    length = f", max_length={layout.max_length}" if layout.max_length else ""
    lines = [
        *imports,
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{PLACE}"{pad})',
        *_load(kind, base),
        'texts = ["A man plays the guitar.", "Someone makes music."]',
        f'batch = tokenizer(texts, padding=True, truncation=True{length}, return_tensors="pt")',
        "with torch.no_grad():",
        f'    outputs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]{layers})',
        _POOL[layout.pooler],
    ]
    lines += _MEAN if layout.pooler.startswith("avg") else []
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8")) if layout.max_length else []
    for module in modules:
        if module["type"].endswith(".Dense"):
            path = module["path"]
            has_tanh = "Tanh" in json.loads((folder / path / "config.json").read_text("utf-8"))["activation_function"]
            map_of = 'vectors @ dense["linear.weight"].T + dense["linear.bias"]'
            lines.append(f'dense = load_file(cached_file("{PLACE}", "{path}/model.safetensors"))')
            lines.append(f"vectors = torch.tanh({map_of})" if has_tanh else f"vectors = {map_of}")
    if layout.normalize:
        lines.append("vectors = torch.nn.functional.normalize(vectors, dim=-1)")
    return [*lines, "print(torch.nn.functional.cosine_similarity(vectors[:1], vectors))"]


def _load(kind: str, base: str | None) -> list[str]:
    if base is None:
        return [f'model = {kind}.from_pretrained("{PLACE}").eval()']
    return [f"base = {kind}.from_pretrained({base})", f'model = PeftModel.from_pretrained(base, "{PLACE}").eval()']


def _words(folder: Path) -> list[Usage]:
    short = [
        "from sentence_transformers import SentenceTransformer",
        "",
        f'model = SentenceTransformer("{PLACE}")',
        'vectors = model.encode(["music", "guitar"])',
        "print(model.similarity(vectors, vectors))",
    ]
    plain = [
        "from safetensors.torch import load_file",
        "from transformers.utils import cached_file",
        "",
        f'vectors = load_file(cached_file("{PLACE}", "model.safetensors"))["input_embeddings"]',
        f'with open(cached_file("{PLACE}", "vocab.tsv"), encoding="utf-8") as file:',
        '    words = [line.split("\\t")[0] for line in file]',
        "of_word = dict(zip(words, vectors))",
    ]
    return [
        Usage("With sentence-transformers, texts as the mean of their words:", "\n".join(short)),
        Usage("The table itself, with torch:", "\n".join(plain)),
    ]


def _graph(folder: Path) -> list[Usage]:
    ours = [
        "from hf_contrastive.models import KnowledgeGraphModel",
        "from transformers.utils import cached_file",
        "",
        f'model = KnowledgeGraphModel.from_pretrained("{PLACE}")',
        *_names("entities"),
        *_names("relations"),
    ]
    return [
        Usage("With hf_contrastive, ids being places in the lists of names:", "\n".join(ours)),
        Usage("The tables alone, with torch:", "\n".join(_tables())),
    ]


def _hypernymy(folder: Path) -> list[Usage]:
    ours = [
        "import torch",
        "from hf_contrastive.models import OrderEmbeddingModel",
        "from transformers.utils import cached_file",
        "",
        f'model = OrderEmbeddingModel.from_pretrained("{PLACE}")',
        *_names("concepts"),
        "child, ancestor = torch.tensor([1]), torch.tensor([0])",
        "print(concepts[1], concepts[0], model.violation(child, ancestor))  # 0: the order holds",
    ]
    return [
        Usage("With hf_contrastive, ids being places in the list of names:", "\n".join(ours)),
        Usage("The table alone, with torch; a point is the absolute value of its row:", "\n".join(_tables())),
    ]


def _names(kind: str) -> list[str]:
    return [
        f'with open(cached_file("{PLACE}", "{kind}.txt"), encoding="utf-8") as file:',
        f"    {kind} = file.read().splitlines()",
    ]


def _tables() -> list[str]:
    return [
        "from safetensors.torch import load_file",
        "from transformers.utils import cached_file",
        "",
        f'tables = load_file(cached_file("{PLACE}", "model.safetensors"))',
        "print({name: table.shape for name, table in tables.items()})",
    ]
