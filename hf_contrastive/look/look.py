"""`hf-contrastive look`: measure models on sentence pairs, draw them beside each other, write all figures down."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hf_contrastive.arguments import POOLERS, EvaluationArguments, one_of
from hf_contrastive.errors import RecipeError
from hf_contrastive.evaluation.encoding import Encode
from hf_contrastive.evaluation.environment import environment
from hf_contrastive.evaluation.pairs import ScoredPairs, load_sts_pairs
from hf_contrastive.evaluation.sources import resolve_dev_source
from hf_contrastive.files import write_json
from hf_contrastive.look.draw import (
    draw_alignment_uniformity,
    draw_cosines,
    draw_maps,
    draw_spectra,
    require_matplotlib,
)
from hf_contrastive.look.measure import (
    MAPS,
    Figures,
    PathPoint,
    check_pairs,
    distinct_sentences,
    map_rows,
    measure,
    measure_point,
    score_groups,
)
from hf_contrastive.look.page import SUMMARY, summary_row, write_page
from hf_contrastive.look.subjects import Subject, find_subjects, load_weights, run_encoder
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.models.loading import inference_device, load_for_measuring
from hf_contrastive.models.static_encoder import StaticEncoder

logger = logging.getLogger(__name__)

_PICTURES = {
    "alignment-uniformity.png": (
        "Alignment and uniformity",
        "Down is good: sentences that people find alike lie close. Left is good: sentences spread over the sphere. "
        "The colour is Spearman's correlation with the scores; small markers on a line are the checkpoints of a run.",
    ),
    "spectrum.png": (
        "Spectrum",
        "Singular values of the unit vectors of all sentences. A steep start: all vectors share a direction; "
        "the slower a curve falls, the more directions are used. The effective rank says how many.",
    ),
    "cosines.png": (
        "Cosines by score",
        "Cosines of the pairs, by the score that people gave. A good model moves from row to row; one that is not "
        "spread out has all rows near 1. Lines are means.",
    ),
    "map.png": (
        "Map",
        "Sentences on two axes, lines between the pairs that people scored above 4/5 of the highest score. Two axes "
        "hold little of the whole: short lines say more than distances between groups.",
    ),
}


def look(
    models: Sequence[str],
    output: Path,
    *,
    labels: Sequence[str] = (),
    pairs: str | None = None,
    queries: Sequence[str] = (),
    k: int = 5,
    map_by: str = "pca",
    pooler: str | None = None,
    max_length: int | None = None,
    batch_size: int = 64,
    bf16: bool = False,
    device: str | None = None,
) -> list[Figures]:
    """Measure models, print the figures, and write pictures, look.json and look.html.

    Args:
        models: folders and Hub names of models, and folders of runs.
        output: folder; what an earlier look wrote there is replaced.
        labels: what pictures call the models.
        pairs: TSV with score, sentence1, sentence2; default: STS-B dev.
        queries: sentences to find the nearest ones of; default: three of the pairs.
        map_by: see `measure`.
        pooler, max_length: of all models; default: each one's own.

    Raises:
        ContrastiveError: models, pairs or options that cannot be used; before anything is encoded, but for weights
            that turn out not to be a model's.
    """
    require_matplotlib()
    one_of("map", map_by, MAPS)
    if pooler is not None:
        one_of("pooler", pooler, POOLERS)
    if any(not query.strip() for query in queries):
        raise RecipeError("query: is empty; give a sentence")
    subjects = find_subjects(models, labels)
    source = resolve_dev_source(EvaluationArguments(dev_data=pairs))
    scored = load_sts_pairs(source)
    check_pairs(scored, source)
    _make_folder(output)
    chosen = list(dict.fromkeys(queries)) or _some_sentences(scored)

    options = _Options(pooler, max_length, batch_size, bf16, device)
    for subject in subjects[1:]:  # a mistake in the last name must not wait until the first model is measured
        _load(subject, options)
    figures = []
    for subject in subjects:
        logger.info("%s: %s", subject.label, subject.model)
        encoder = _load(subject, options)
        found = measure(options.encode(encoder), scored, subject.label, subject.model, chosen, k, map_by)
        figures.append(replace(found, path=_path(subject, scored, options)))
    _write(figures, output, scored, str(source), map_by)
    _print(figures, output)
    return figures


@dataclass(frozen=True)
class _Options:
    pooler: str | None
    max_length: int | None
    batch_size: int
    bf16: bool
    device: str | None

    def encode(self, encoder: SentenceEncoder | StaticEncoder) -> Encode:
        return partial(encoder.encode, batch_size=self.batch_size, bf16=self.bf16)


def _load(subject: Subject, options: _Options) -> SentenceEncoder | StaticEncoder:
    """The published model, or that of the last checkpoint."""
    if subject.published is not None:
        return load_for_measuring(
            subject.published, pooler=options.pooler, max_length=options.max_length, device=options.device
        )
    encoder = _unpublished(subject, options)
    load_weights(encoder, subject.checkpoints[-1][1])
    return encoder


def _unpublished(subject: Subject, options: _Options) -> SentenceEncoder:
    assert subject.run is not None
    encoder = run_encoder(subject.run)
    encoder.eval_pooler = options.pooler or encoder.eval_pooler
    encoder.max_length = options.max_length or encoder.max_length
    encoder.check_positions(encoder.max_length)
    return encoder.to(inference_device(options.device)).eval()


def _path(subject: Subject, scored: ScoredPairs, options: _Options) -> list[PathPoint]:
    if not subject.checkpoints:
        return []
    encoder = _unpublished(subject, options)
    points = []
    for step, checkpoint in subject.checkpoints:
        logger.info("%s: step %s", subject.label, f"{step:,}")
        load_weights(encoder, checkpoint)
        points.append(measure_point(options.encode(encoder), scored, step))
    return points


def _some_sentences(scored: ScoredPairs) -> list[str]:
    """Three sentences, from the beginning, the middle and the end."""
    sentences = distinct_sentences(scored)
    return list(dict.fromkeys(sentences[len(sentences) * part // 6] for part in (1, 3, 5)))


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=output, prefix=".writable-"):
            pass
    except OSError as error:
        raise RecipeError(f"output: {output} cannot be written ({error.strerror}); choose another folder") from error


def _write(figures: list[Figures], output: Path, scored: ScoredPairs, source: str, map_by: str) -> None:
    paths = {output / name: text for name, text in _PICTURES.items()}
    first, spectrum, cosines, sentences = paths
    draw_alignment_uniformity(figures, first)
    draw_spectra(figures, spectrum)
    draw_cosines(figures, scored, cosines)
    draw_maps(figures, scored, sentences)
    count = len(distinct_sentences(scored))
    write_json(
        output / "look.json",
        {
            "environment": environment(),
            "pairs": {"source": source, "pairs": len(scored), "sentences": count},
            "score_groups": score_groups(scored)[1],
            "map": {"by": map_by, "pairs": map_rows(scored).tolist()},
            "models": [model.to_dict() for model in figures],
        },
    )
    write_page(output / "look.html", figures, paths, f"{len(scored):,} pairs of {count:,} sentences, {source}")


def _print(figures: list[Figures], output: Path) -> None:
    console = Console()
    table = Table(*SUMMARY, title="smaller is better: alignment, uniformity, mean cosine")
    for model in figures:
        table.add_row(*map(Text, summary_row(model)))
    console.print(table)
    for query in figures[0].nearest:
        nearest = Table(title=Text(query))
        nearest.add_column("model", no_wrap=True)
        nearest.add_column("cosine", justify="right")
        nearest.add_column("nearest sentence")
        for model in figures:
            for rank, (sentence, value) in enumerate(model.nearest[query]):
                nearest.add_row(Text("" if rank else model.label), f"{value:.3f}", Text(sentence))
            nearest.add_section()
        console.print(nearest)
    console.print(f"pictures, figures and page: {output / 'look.html'}", highlight=False, soft_wrap=True, markup=False)
