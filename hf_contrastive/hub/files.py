"""Which files of a model folder are published: those of the formats that are read, the card and what it shows."""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

from hf_contrastive.arguments import is_hub_name
from hf_contrastive.errors import CheckpointError
from hf_contrastive.hub.usage import PLACE, is_adapter
from hf_contrastive.hub.validate import check_private, front_matter, linked_files, validate_card
from hf_contrastive.models.lora import ADAPTER_CONFIG

# What must fit the weights: an earlier one of these beside newer weights would make another model of them.
_FITTING = re.compile(
    r"config\.json|generation_config\.json"
    r"|model\.safetensors|model-\d+-of-\d+\.safetensors|model\.safetensors\.index\.json"
    r"|adapter_config\.json|adapter_model\.safetensors"
    r"|onnx/model\.onnx|onnx/model\.onnx_data|onnx/model\.onnx\.data"
    r"|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json"
    r"|vocab\.json|vocab\.txt|merges\.txt|spiece\.model|sentencepiece\.bpe\.model|tokenizer\.model"
    r"|modules\.json|sentence_bert_config\.json|config_sentence_transformers\.json"
    r"|\d+_[A-Za-z]+/(?:config\.json|model\.safetensors|tokenizer\.json)"
    r"|vocab\.tsv|vocab_total\.json|entities\.txt|relations\.txt|concepts\.txt"
)
_ABOUT = re.compile(
    r"README\.md|\.eval_results/[\w.-]+\.yaml|training_curve\.png|alignment_uniformity\.png|chat_template\.jinja"
)
_WEIGHTS = re.compile(r"(?:adapter_model|model(?:-\d+-of-\d+)?)\.safetensors")
_NEVER = {"trainer_state.json": "a checkpoint of training", "training_args.bin": "a checkpoint of training"}
# Words and names may look like anything, paths included.
_OF_NAMES = frozenset(
    {
        "concepts.txt",
        "entities.txt",
        "merges.txt",
        "relations.txt",
        "tokenizer.json",
        "vocab.json",
        "vocab.tsv",
        "vocab.txt",
    }
)
_PICTURES = frozenset({".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp"})
_TEXT = (".svg", ".json", ".md", ".txt", ".yaml", ".jinja", ".tsv")


@dataclass(frozen=True)
class ModelFiles:
    """What of a folder is published.

    Attributes:
        folder: the model folder.
        published: names inside the folder and in the repository, sorted.
        left_out: names of everything else in it.
        vocabulary: names of the tokenizer's own files, there or not.
        base_model: of adapters, its name on the Hub.
    """

    folder: Path
    published: tuple[str, ...]
    left_out: tuple[str, ...]
    vocabulary: frozenset[str] = frozenset()
    base_model: str | None = None

    def must_fit(self, name: str) -> bool:
        """Whether a file of this name belongs to the weights, so that an earlier one is removed with them."""
        return _FITTING.fullmatch(name) is not None or name in self.vocabulary

    def content(self, name: str, repo_id: str) -> Path | bytes:
        """What is uploaded of a file: the card with the repository's name in its code, adapters with the name of their
        base model where this machine has its folder, and all others as they are.
        """
        path = self.folder / name
        if name == "README.md":
            return path.read_text(encoding="utf-8").replace(PLACE, repo_id).encode()
        if name == ADAPTER_CONFIG and self.base_model is not None:
            config = json.loads(path.read_text(encoding="utf-8"))
            return json.dumps({**config, "base_model_name_or_path": self.base_model}, indent=2).encode()
        return path

    @property
    def size(self) -> int:
        """Bytes of all published files."""
        return sum((self.folder / name).stat().st_size for name in self.published)


def is_published(name: str) -> bool:
    """Whether a file of this name is one that `publish` puts into a repository."""
    return any(names.fullmatch(name) for names in (_FITTING, _ABOUT))


def model_files(folder: Path) -> ModelFiles:
    """The files to publish; links and whatever is unknown are left out.

    Raises:
        CheckpointError: no folder, no model in it, a checkpoint of training, a card that is not fit, or a file with a
            token or a path of this machine in it; or adapters whose base model nobody else can load.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; name the folder final/ of a finished run")
    for name, what in _NEVER.items():
        if (folder / name).exists():
            raise CheckpointError(f"{folder}: {name} makes it {what}; publish the folder final/ of the run")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    vocabulary = _vocabulary_files(folder)
    more = vocabulary | _pictures(folder)
    published = tuple(
        name for name in found if (is_published(name) or name in more) and not (folder / name).is_symlink()
    )
    if not any(_WEIGHTS.fullmatch(name) for name in published):
        inner = "; did you mean its folder final/?" if (folder / "final").is_dir() else "; name a finished model"
        raise CheckpointError(f"{folder}: no model.safetensors in it{inner}")
    alone = is_adapter(folder)
    for name in published:
        path = folder / name
        may_hold_paths = path.name in _OF_NAMES or name in vocabulary
        if path.suffix in _TEXT and not may_hold_paths and not (alone and name == ADAPTER_CONFIG):
            check_private(path.read_text(encoding="utf-8"), name, folder)
    if "README.md" in published:
        validate_card((folder / "README.md").read_text(encoding="utf-8"), folder)
    base = _base_of_adapter(folder, "README.md" in published) if alone else None
    left_out = tuple(name for name in found if name not in published)
    return ModelFiles(folder, published, left_out, vocabulary, base)


def _vocabulary_files(folder: Path) -> frozenset[str]:
    """Names that the class of the folder's tokenizer gives its vocabulary, such as `bpe.codes`; they fit the weights.

    Raises:
        CheckpointError: `tokenizer_config.json` is not JSON.
    """
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return frozenset()
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("tokenizer_class")
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a JSON object ({error}); save the tokenizer again") from None
    kind = tokenizer_class_from_name(name) if isinstance(name, str) else None
    return frozenset((getattr(kind, "vocab_files_names", None) or {}).values())


def _pictures(folder: Path) -> set[str]:
    """Names of pictures in the folder that the card shows or links."""
    path = folder / "README.md"
    if not path.is_file():
        return set()
    linked = {PurePosixPath(target) for target in linked_files(path.read_text(encoding="utf-8"))}
    return {name.as_posix() for name in linked if name.suffix.lower() in _PICTURES and ".." not in name.parts}


def _base_of_adapter(folder: Path, has_card: bool) -> str:
    """The name that the card gives, which is the recipe's, else that of the adapters' configuration."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    base = str(config.pop("base_model_name_or_path", None) or "")
    check_private(json.dumps(config), ADAPTER_CONFIG, folder)
    card = front_matter((folder / "README.md").read_text(encoding="utf-8")) if has_card else {}
    if card.get("base_model"):
        return str(card["base_model"])
    if not is_hub_name(base) or Path(base).exists():
        raise CheckpointError(
            f"{folder}: adapters are of use only with their base model, which has no name on the Hub here; start the "
            "run again with --card_base_model owner/name (it trains nothing anew), or publish final/, the merged model"
        )
    return base
