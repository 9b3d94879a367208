"""Word vectors, source of negatives and objective, as one module with one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hf_contrastive.arguments.words import BLOCK
from hf_contrastive.models.word_embedding import WordEmbeddingModel, rows_of
from hf_contrastive.negatives import NegativeSampler
from hf_contrastive.objectives import FullSoftmax, HierarchicalSoftmax, Objective
from hf_contrastive.products import inner_products
from hf_contrastive.training.draws import StepDraws
from hf_contrastive.training.sentence_model import ContrastiveOutput
from hf_contrastive.training.table_contrast import contrast, table_context
from hf_contrastive.training.words.shared_draws import SharedDraws
from hf_contrastive.training.words.windows import keep_probability, make_windows


class ContrastiveWordModel(nn.Module):
    """Skip-gram or CBOW under any objective, with negatives from any sampler.

    A batch of running words is subsampled, cut into blocks, and every word is an anchor with all its neighbours
    (skip-gram) or one whose context predicts it (CBOW). Negatives that all anchors of the batch share turn dot
    products into one matrix product.

    Args:
        words: what is trained and published.
        objective: an `Objective`, `FullSoftmax` or `HierarchicalSoftmax`.
        negatives: where negatives come from; `None` where the objective takes none.
        counts: [V], how often each word occurs.
        window: neighbours to each side at most.
        dynamic_window: draw each word's own width from 1..window.
        subsample: threshold of the subsampling of frequent words; 0 turns it off.
        negatives_per_pair: every pair is an anchor of its own, with negatives of its own, as in word2vec.c.
        words_per_draw: so many neighbouring words share what a sampler draws apart; 0: nothing is shared in this way.
        mask_positives: leave draws that hit one of the anchor's own positives out.
        seed: of all draws.
    """

    keep: Tensor
    counts: Tensor
    ids: Tensor

    def __init__(
        self,
        words: WordEmbeddingModel,
        objective: Objective | FullSoftmax | HierarchicalSoftmax,
        negatives: NegativeSampler | None,
        counts: Tensor,
        *,
        window: int = 5,
        dynamic_window: bool = True,
        subsample: float = 1e-3,
        negatives_per_pair: bool = False,
        words_per_draw: int = 0,
        mask_positives: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.words = words
        self.objective = objective
        self.negatives = negatives
        self.window, self.dynamic_window = window, dynamic_window
        self.negatives_per_pair = negatives_per_pair
        self.words_per_draw = words_per_draw
        self.mask_positives = mask_positives
        self.draws = StepDraws(seed)
        self.register_buffer("counts", counts.float(), persistent=False)
        self.register_buffer("ids", torch.arange(len(words.output_embeddings)), persistent=False)
        self.register_buffer("keep", keep_probability(counts, subsample), persistent=False)

    @property
    def tables(self) -> list[Tensor]:
        """What is trained with sparse gradients."""
        return [self.words.input_embeddings, self.words.output_embeddings]

    @property
    def published(self) -> WordEmbeddingModel:
        """What is saved."""
        return self.words

    @property
    def config(self) -> Any:
        """The word model's configuration, for those that ask a model for one."""
        return self.words.config

    def forward(self, ids: Tensor, sentences: Tensor, **_: Any) -> ContrastiveOutput:
        """Loss of a batch of running words: a sum over its pairs, as word2vec counts; the sampler's own is a mean.

        Args:
            ids: [N], word ids.
            sentences: [N], equal where two words are of one sentence.
        """
        generator = self.draws.generator(ids.device, self.training)
        kept = torch.rand(len(ids), generator=generator, device=ids.device) < self.keep[ids]
        ids, sentences = ids[kept], sentences[kept]
        together = max(1, self.words_per_draw // BLOCK)
        windows = make_windows(ids, sentences, self.window, BLOCK, self.dynamic_window, generator, together)
        pairs, words, centers = windows.pairs, windows.words, windows.centers
        figures = {"words": kept.sum().float()}
        if self.config.architecture == "cbow":
            # The mean of the neighbours; a word without any is no pair.
            size = pairs.sum(2, keepdim=True)
            rows = self.words(words)
            shares = pairs.to(rows.dtype) / size.clamp(min=1)
            anchors, targets, pairs = torch.bmm(shares, rows), centers.unsqueeze(2), size > 0
        elif isinstance(self.objective, HierarchicalSoftmax):
            # Every word is predicted from each of its neighbours, as in word2vec.c.
            anchors, targets = self.words(words), centers
        else:
            anchors, targets = self.words(centers), words
        count = pairs.sum().float()
        if isinstance(self.objective, HierarchicalSoftmax):
            mean, own = self._hierarchical(anchors, centers, pairs), None
        else:
            mean, own, more = self._contrast(anchors, targets, pairs, centers, generator)
            figures |= more
        loss = mean * count if own is None else mean * count + own
        figures |= {"pairs": count, "loss_of_a_pair": mean.detach()}
        return ContrastiveOutput(loss=loss, metrics=figures)

    def _hierarchical(self, hidden: Tensor, words: Tensor, pairs: Tensor) -> Tensor:
        """Words [G, T] from the neighbours [G, S, D] that `pairs` [G, T, S] name, or each from its own [G, T, D]."""
        assert isinstance(self.objective, HierarchicalSoftmax)
        if self.config.architecture == "cbow":
            hidden, words, pairs = hidden.flatten(0, 1).unsqueeze(1), words.reshape(-1, 1), pairs.reshape(-1, 1, 1)
        (nodes,) = rows_of(self.words.output_embeddings, self.objective.nodes[words])
        return self.objective(words, nodes, hidden, pairs)

    def _contrast(
        self, anchors: Tensor, targets: Tensor, pairs: Tensor, words: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """Anchors [G, T, D] against their block's targets [G, S], or their own [G, T, 1], where `pairs` are.

        Args:
            words: [G, T], whose the anchors are.

        Returns:
            Mean loss of a pair, the sampler's own loss, figures.
        """
        each = targets.unsqueeze(1).expand(pairs.shape) if targets.dim() == 2 else targets
        positive_ids = each.reshape(-1, pairs.shape[-1]).masked_fill(~pairs.flatten(0, 1), -1)
        every = _Anchors(anchors, targets, positive_ids, pairs.flatten(0, 1), words.flatten())
        if isinstance(self.objective, FullSoftmax):
            table = self.words.output_embeddings
            (rows,) = rows_of(table, targets)
            return self.objective(every.flat, table, every.scores(rows), every.pairs), None, {}
        apart = self.negatives_per_pair and bool(pairs.any())  # a batch without pairs has anchors, for the sampler
        return self._against_pool(every.one_a_pair() if apart else every, generator)

    def _against_pool(
        self, anchors: "_Anchors", generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None, dict[str, Tensor]]:
        """`_contrast` against what the sampler proposes."""
        assert self.negatives is not None and isinstance(self.objective, Objective)
        table, negatives = self.words.output_embeddings, self.negatives
        if self.words_per_draw:
            hidden = anchors.own_positives if self.mask_positives else None
            negatives = SharedDraws(negatives, self.words_per_draw, hidden)

        def score(pools: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            rows, *columns = rows_of(table, anchors.targets, *pools)
            return anchors.scores(rows), [anchors.against(pool) for pool in columns]

        context = table_context(
            table,
            anchors.flat,
            anchors.positive_ids,
            negatives,
            anchor_keys=anchors.words,
            candidate_keys=self.ids,
            counts=self.counts,
            mask_positives=self.mask_positives,
            step=self.draws.step,
            generator=generator,
            score=lambda ids: inner_products(anchors.flat.detach(), table.detach()[ids]),
        )
        made = contrast(negatives, self.objective, context, score, self.training, anchors.pairs)
        return made.loss, made.own, made.figures


@dataclass
class _Anchors:
    """B anchors, in groups that have their targets in common or each with its own.

    Attributes:
        vectors: [G, T, D], B = G T.
        targets: [G, S] or [G, T, S], rows of the output table.
        positive_ids: [B, S], the targets that are positives, -1 elsewhere; [B] where each has one.
        pairs: bool [B, S]; `None` where each has one.
        words: [B], whose they are.
    """

    vectors: Tensor
    targets: Tensor
    positive_ids: Tensor
    pairs: Tensor | None
    words: Tensor

    @property
    def flat(self) -> Tensor:
        return self.vectors.flatten(0, 1)

    def scores(self, rows: Tensor) -> Tensor:
        """[B, S], or [B] where each has one, with the targets' `rows`."""
        if rows.dim() == 4:
            scores = torch.einsum("gtd,gtsd->gts", self.vectors, rows).flatten(0, 1)
        else:
            scores = torch.bmm(self.vectors, rows.transpose(1, 2)).flatten(0, 1)
        return scores if self.pairs is not None else scores.squeeze(1)

    def against(self, rows: Tensor) -> Tensor:
        """[B, K], with rows [K, D] for all, or [G', K, D], each for a group of neighbouring anchors or for one."""
        if rows.dim() == 2 or len(rows) == len(self.words):
            return inner_products(self.flat, rows)
        groups, _, width = rows.shape
        return torch.bmm(self.vectors.reshape(groups, -1, width), rows.transpose(1, 2)).flatten(0, 1)

    def own_positives(self, ids: Tensor) -> Tensor:
        """bool [B, K], where ids [G, K], each row for a group of neighbouring anchors, are an anchor's positives."""
        assert self.pairs is not None
        blocks, per_block, _ = self.vectors.shape
        ids = ids.repeat_interleave(blocks // len(ids), 0)
        if self.targets.dim() == 3:
            return (self.positive_ids == ids.repeat_interleave(per_block, 0)).view(len(self.words), -1)
        # A block's anchors share their targets: which draws are which target, times whose positives the targets are.
        equal = self.targets.unsqueeze(2) == ids.unsqueeze(1)
        pairs = self.pairs.view(blocks, per_block, -1)
        return torch.bmm(pairs.float(), equal.float()).flatten(0, 1) > 0

    def one_a_pair(self) -> "_Anchors":
        """Every pair an anchor of its own, [N, 1, D]."""
        assert self.pairs is not None
        anchor, place = self.pairs.nonzero(as_tuple=True)
        own = self.positive_ids[anchor, place]
        return _Anchors(self.flat[anchor].unsqueeze(1), own.unsqueeze(1), own, None, self.words[anchor])
