"""`hf-contrastive mine`: load, encode, search, write; each step is taken up where a killed run left it."""

import logging
from functools import partial

import numpy as np
from accelerate import PartialState

from hf_contrastive.files import write_json
from hf_contrastive.mining.corpus import load_corpus
from hf_contrastive.mining.output import MiningReport, print_report, write_output
from hf_contrastive.mining.search import Results, search_missing
from hf_contrastive.mining.settings import MiningSettings, check_output
from hf_contrastive.retrieval.fingerprint import model_fingerprint
from hf_contrastive.retrieval.index import load_faiss, resolve_index
from hf_contrastive.retrieval.vectors import Vectors, encode_missing, load_encoder, processes
from hf_contrastive.retrieval.work import check_settings

logger = logging.getLogger(__name__)

SETTINGS = "mine.json"


def mine(settings: MiningSettings) -> MiningReport | None:
    """Mine hard negatives and write them; under `accelerate launch` all processes share the work.

    Returns:
        the counts, on the main process; None on the others.

    Raises:
        ContrastiveError: data, model, output or work folder that cannot be used; before anything is encoded.
    """
    load_faiss()
    check_output(settings)
    ranks = processes(settings.device)
    encoder = load_encoder(
        settings.model, settings.pooler, settings.max_length, settings.revision, settings.device, ranks
    )
    with ranks.main_process_first():
        corpus = load_corpus(settings)
    kind = resolve_index(settings.index, len(corpus.candidates))
    encoding = {
        **corpus.fingerprint,
        "model": model_fingerprint(encoder),
        "pooler": encoder.eval_pooler,
        "max_length": encoder.max_length,
        "bf16": settings.bf16,
        "shard_size": settings.shard_size,
    }
    _begin(settings, encoding, settings.search_keys(kind), ranks)

    vectors = Vectors(settings.work / "vectors", len(corpus.places), encoder.width, settings.shard_size)
    encode_missing(
        vectors,
        lambda span: corpus.texts(np.asarray(span)).to_pylist(),
        partial(encoder.encode, batch_size=settings.batch_size, bf16=settings.bf16, normalize=True),
        encoder,
        ranks,
        "distinct texts",
    )
    results = Results(settings.work / "search", len(corpus.anchors), settings.rules.k, settings.shard_size)
    search_missing(corpus, vectors, results, settings.rules, kind, settings.nprobe, ranks)
    report = None
    if ranks.is_main_process:
        report = write_output(settings.file, corpus, results)
        print_report(report, settings.rules.k)
        size = sum(path.stat().st_size for path in settings.work.rglob("*") if path.is_file())
        logger.info("%s keeps the vectors (%.1f MB); delete it when done", settings.work, size / 1e6)
    ranks.wait_for_everyone()
    return report


def _begin(settings: MiningSettings, encoding: dict, search: dict, ranks: PartialState) -> None:
    """Write the settings down, or find them written as they are."""
    work, searched = settings.work, settings.work / "search"
    check_settings(work / SETTINGS, encoding, f"choose another --output, or delete {work} to start afresh")
    check_settings(
        searched / SETTINGS,
        search,
        f"choose another --output, or delete {searched} to search anew, which keeps the vectors",
    )
    ranks.wait_for_everyone()
    if ranks.is_main_process:
        write_json(work / SETTINGS, encoding)
        write_json(searched / SETTINGS, search)
    ranks.wait_for_everyone()
