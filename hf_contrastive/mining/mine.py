"""`hf-contrastive mine`: load, encode, search, write; each step is taken up where a killed run left it."""

import logging
from datetime import timedelta

import torch
from accelerate import PartialState

from hf_contrastive.files import write_json
from hf_contrastive.mining.corpus import load_corpus
from hf_contrastive.mining.embed import Vectors, encode_missing
from hf_contrastive.mining.fingerprint import model_fingerprint
from hf_contrastive.mining.index import load_faiss, resolve_index
from hf_contrastive.mining.output import MiningReport, print_report, write_output
from hf_contrastive.mining.search import Results, search_missing
from hf_contrastive.mining.settings import MiningSettings, check_output
from hf_contrastive.mining.work import SETTINGS, check_settings
from hf_contrastive.models import SentenceEncoder

logger = logging.getLogger(__name__)


def mine(settings: MiningSettings) -> MiningReport | None:
    """Mine hard negatives and write them; under `accelerate launch` all processes share the work.

    Returns:
        the counts, on the main process; None on the others.

    Raises:
        ContrastiveError: data, model, output or work folder that cannot be used; before anything is encoded.
    """
    load_faiss()
    check_output(settings)
    ranks = _processes(settings.device)
    encoder = _load_encoder(settings, ranks)
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
    encode_missing(encoder, corpus, vectors, ranks, settings.batch_size, settings.bf16)
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


def _processes(device: str | None) -> PartialState:
    """This process among those that were launched with it."""
    cpu = device is not None and torch.device(device).type == "cpu"
    # Shards take processes unequally long, and all wait for one to train the index.
    return PartialState(cpu=cpu, timeout=timedelta(days=2))


def _load_encoder(settings: MiningSettings, ranks: PartialState) -> SentenceEncoder:
    with ranks.main_process_first():
        encoder = SentenceEncoder.from_pretrained(
            settings.model, pooler=settings.pooler, max_length=settings.max_length, revision=settings.revision
        )
    encoder.check_positions(encoder.max_length)
    return encoder.to(settings.device or ranks.device).eval()


def _begin(settings: MiningSettings, encoding: dict, search: dict, ranks: PartialState) -> None:
    """Write the settings down, or find them written as they are."""
    work, searched = settings.work, settings.work / "search"
    check_settings(work, encoding, f"choose another --output, or delete {work} to start afresh")
    check_settings(
        searched, search, f"choose another --output, or delete {searched} to search anew, which keeps the vectors"
    )
    ranks.wait_for_everyone()
    if ranks.is_main_process:
        write_json(work / SETTINGS, encoding)
        write_json(searched / SETTINGS, search)
    ranks.wait_for_everyone()
