"""What the demo shows, as plain functions of an encoder and some sentences; the page itself is in app.py."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import islice
from pathlib import Path

import torch
import yaml
from torch import Tensor

from hf_contrastive import Context, NegativeSampler, SentenceEncoder
from hf_contrastive.arguments import NegativesArguments
from hf_contrastive.data import column_names, read_rows, text_cell
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.negatives import Candidates, build_negatives, registered

MOST_SENTENCES, MOST_OF_A_MATRIX = 2000, 40
ASKS = 200  # of a sampler that draws: its shares are counted

# What a recipe says under `negatives:`, for samplers that make sense of sentences without labels.
CHOICES = (
    "in_batch",
    "{name: uniform, k: 16}",
    "{name: cached, k: 16}",
    "{name: self_adversarial, part: queue, alpha: 10}",
    "{name: filtered, part: queue, guide_margin: 0.5}",
    "{name: adversarial, temperature: 0.1}",
    "{name: adversarial, temperature: 0.1, noise: 0.5}",
    "{name: adversarial, estimator: reinforce, k: 16}",
    "{name: mixture, lambda: 0.5, parts: [in_batch, adversarial]}",
)
PROVIDED = {"positives", "bank"}


class Vectors:
    """Unit vectors of sentences; those of the last few lists are remembered.

    Args:
        encoder: any sentence encoder.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder
        self._of = lru_cache(maxsize=8)(lambda sentences: encoder.encode(list(sentences), normalize=True))

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Float32 [N, D] on the CPU."""
        return self._of(tuple(sentences))


@dataclass
class Proposed:
    """A sentence that could be a negative: its share of all a sampler proposes, and its cosine."""

    sentence: str
    share: float
    cosine: float


def read_sentences(text: str, file: str | None = None, most: int = MOST_SENTENCES) -> list[str]:
    """Lines of a text box, blank ones left out, then the texts of a file that `hf-contrastive encode` reads.

    Raises:
        DataError: no sentence, too many, or a file that cannot be read.
    """
    sentences = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if file is not None:
        sentences += islice(texts_of(Path(file)), most + 1)
    if not sentences:
        raise DataError("no sentences: write some, one a line, or choose a file")
    if len(sentences) > most:
        raise DataError(
            f"more than the {most:,} sentences shown here; `hf-contrastive encode` and `hf-contrastive search` take "
            "any number"
        )
    return sentences


def texts_of(file: Path) -> Iterator[str]:
    """The column `text` of a file, or its only one, row by row; nothing of an upload is kept on the disk."""
    names = column_names(file)
    if "text" not in names and len(names) != 1:
        raise DataError(f"{file.name}: columns {', '.join(names)}; call the one that holds the sentences text")
    column = "text" if "text" in names else names[0]
    for where, record in read_rows(file, [column]):
        yield text_cell(record, column, where)


def one_sentence(text: str) -> str:
    """The sentence that was typed; `DataError` where there is none."""
    if not (text or "").strip():
        raise DataError("no sentence: type one")
    return text.strip()


def nearest(vectors: Vectors, query: str, sentences: Sequence[str], k: int) -> list[tuple[str, float]]:
    """The k sentences nearest to a query with their cosines, nearest first; a sentence given twice counts once."""
    distinct = list(dict.fromkeys(sentences))
    cosines = vectors(distinct) @ vectors([query])[0]
    best = cosines.topk(min(k, len(distinct)))
    return [(distinct[row], score) for score, row in zip(best.values.tolist(), best.indices.tolist(), strict=True)]


def matrix_table(vectors: Vectors, sentences: Sequence[str]) -> str:
    """Cosines of all pairs as a table of HTML; the nearer, the darker."""
    rows = vectors(sentences)
    head = "".join(f'<th title="{escape(sentence)}">{number}</th>' for number, sentence in enumerate(sentences, 1))
    lines = [f"<tr><th></th><th></th>{head}</tr>"]
    for number, (sentence, row) in enumerate(zip(sentences, (rows @ rows.T).tolist(), strict=True), 1):
        cells = "".join(_cell(cosine) for cosine in row)
        lines.append(f'<tr><th>{number}</th><th class="sentence">{escape(sentence)}</th>{cells}</tr>')
    return f'<table class="matrix">{"".join(lines)}</table>'


def _cell(cosine: float) -> str:
    strength = min(max(cosine, 0.0), 1.0)
    ink = "#fff" if strength > 0.6 else "inherit"
    return f'<td style="background: rgba(37, 99, 235, {strength:.2f}); color: {ink}">{round(cosine, 2) + 0.0:.2f}</td>'


def choices() -> list[str]:
    """What can be chosen: `CHOICES`, and samplers that other packages have registered, with their defaults."""
    ours = {name for line in CHOICES for name in registered() if name in line} | {"hard", "queue", "unigram"}
    return [*CHOICES, *(name for name in registered() if name not in ours and _can_be_shown(name))]


def _can_be_shown(name: str) -> bool:
    try:
        return make_sampler(name, width=8).needs <= PROVIDED
    except RecipeError:
        return False


def make_sampler(line: str, width: int) -> NegativeSampler:
    """The sampler that a recipe means by `negatives: LINE`, for vectors of `width` numbers."""
    configs = NegativesArguments(negatives=yaml.safe_load(line)).sampler_configs
    return build_negatives(configs, width=width, seed=0)


def propose(vectors: Vectors, line: str, sentence: str, pool: Sequence[str]) -> tuple[list[Proposed], int]:
    """What a sampler proposes as negatives of a sentence.

    Args:
        line: what a recipe says under `negatives:`.
        sentence: the anchor, which is its own positive, as in unsupervised SimCSE.
        pool: the rest of the batch, and the bank of sentences seen before.

    Returns:
        Every sentence of the pool with its share, largest first; and the number of draws that shares were counted
        from, 0 where they are exact.
    """
    rows, anchor = vectors(pool), vectors([sentence])
    sampler = make_sampler(line, rows.shape[1])
    shares, draws = expected_shares(sampler, sentence_context(sentence, anchor, pool, rows))
    count = len(pool)
    shares = shares[1 : count + 1] + shares[count + 1 :]  # as a row of the batch and as one of the bank
    cosines = (rows @ anchor[0]).tolist()
    found = [Proposed(*each) for each in zip(pool, shares.tolist(), cosines, strict=True)]
    return sorted(found, key=lambda each: (-each.share, -each.cosine)), draws


def sentence_context(sentence: str, anchor: Tensor, pool: Sequence[str], rows: Tensor) -> Context:
    """What a sampler sees of one step: the batch (the sentence, then the pool), and a bank that holds the pool.

    Args:
        anchor: unit vector [1, D].
        rows: unit vectors [N, D].
    """
    number = {text: place for place, text in enumerate(dict.fromkeys([sentence, *pool]))}
    keys = torch.tensor([number[text] for text in [sentence, *pool, *pool]])
    batch, count = 1 + len(pool), 1 + 2 * len(pool)
    return Context(
        anchors=anchor,
        candidates=Candidates(torch.cat([anchor, rows]), rows),
        positive_ids=torch.tensor([0]),
        regions={"positives": range(batch), "bank": range(batch, count)},
        owners=torch.cat([torch.arange(batch), torch.full((len(pool),), -1)]),
        valid=torch.ones(count, dtype=torch.bool),
        anchor_keys=keys[:1],
        candidate_keys=keys,
        candidate_anchor_keys=keys,
        generator=torch.Generator().manual_seed(0),
    )


@torch.no_grad()
def expected_shares(sampler: NegativeSampler, context: Context, asks: int = ASKS) -> tuple[Tensor, int]:
    """Each row's share [C] of the weight of all that is proposed, and the number of draws behind it, 0: exact."""
    total = torch.zeros(len(context.candidates))
    draws, first = 0, None
    for _ in range(asks):
        proposed = sampler.sample(context)
        weights = sampler.weigh(proposed, context)
        weights = (proposed.mask * (1.0 if weights is None else weights))[0]
        ids = proposed.ids.expand(1, -1)[0]
        if first is not None and torch.equal(first[0], ids) and torch.equal(first[1], weights):
            draws = 0  # it proposes the same at all times: once is enough
            break
        first = first or (ids, weights)
        total.index_add_(0, ids, weights)
        draws += int(proposed.mask.sum())
    return total / total.sum().clamp(min=1e-12), draws
