"""What text-embeddings-inference makes of a model folder, which is less than sentence-transformers does."""

from pathlib import Path

from hf_contrastive.hub.usage import is_adapter
from hf_contrastive.models.module_files import read_layout
from hf_contrastive.models.pooling import NEEDS_ALL_LAYERS

_NAME = "text-embeddings-inference"


def serving_limit(folder: Path) -> str | None:
    """A sentence for the card where text-embeddings-inference, or some of its releases, would give other vectors.

    It pools the last layer as `1_Pooling/config.json` says, applies Dense modules since its release 1.8, and makes
    unit vectors unless a request says otherwise.

    Args:
        folder: of a sentence encoder, or of its adapters.
    """
    if is_adapter(folder):
        return f"{_NAME} reads no adapters; it can serve the merged model."
    layout = read_layout(folder)
    if layout is None:
        return None
    if layout.pooler in NEEDS_ALL_LAYERS:
        return (
            f"{_NAME} cannot serve it: it pools the last layer alone, and may take the first token's vector without "
            f"a word where the pooler is {layout.pooler}."
        )
    if layout.dense is not None and layout.projection is not None:
        return (
            f"{_NAME} serves it only in releases that apply all Dense modules, not one or none: compare vectors first."
        )
    if layout.dense is not None or layout.projection is not None:
        return f"{_NAME} serves it from release 1.8 on; older ones leave out its Dense module."
    return None
