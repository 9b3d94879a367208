"""Which candidates count as negatives, written out row by row."""

from typing import Any

import pytest
import torch
from contexts import bank_context, unit, vocabulary_context
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_contrastive.errors import RecipeError
from hf_contrastive.negatives import (
    Candidates,
    Context,
    HardNegatives,
    InBatchNegatives,
    Joined,
    NegativeSampler,
    QueueNegatives,
    build_negatives,
    register,
    registered,
    usable,
)
from hf_contrastive.negatives.protocol import own_positives


def context(anchor_keys, positive_keys, hard=(), offset=0, local=None) -> Context:
    """Rows `anchor_keys[i]` with `positive_keys[i]`; `hard` holds (key, owner)."""
    count = len(anchor_keys)
    local = count if local is None else local
    hard_keys, owners = [key for key, _ in hard], [owner for _, owner in hard]
    origins = [anchor_keys[owner] if owner >= 0 else 0 for owner in owners]
    return Context(
        anchors=torch.zeros(local, 4),
        candidates=Candidates(torch.zeros(count + len(hard), 4)),
        positive_ids=torch.arange(local) + offset,
        regions={"positives": range(count), "hard": range(count, count + len(hard))},
        owners=torch.tensor([*range(count), *owners]),
        valid=torch.tensor([*range(count), *owners]) >= 0,
        anchor_keys=torch.tensor(anchor_keys[offset : offset + local]),
        candidate_keys=torch.tensor([*positive_keys, *hard_keys]),
        candidate_anchor_keys=torch.tensor([*anchor_keys, *origins]),
    )


def test_in_batch_is_everything_but_the_own_positive() -> None:
    proposed = InBatchNegatives().sample(context([1, 2, 3], [11, 12, 13]))
    assert proposed.ids.tolist() == [0, 1, 2]
    assert torch.equal(proposed.mask, ~torch.eye(3, dtype=torch.bool))


def test_own_positive_of_the_second_rank() -> None:
    proposed = InBatchNegatives().sample(context([1, 2, 3, 4], [11, 12, 13, 14], offset=2, local=2))
    assert proposed.mask.tolist() == [[True, True, False, True], [True, True, True, False]]


@pytest.mark.parametrize(
    ("anchors", "positives", "why"),
    [([1, 1], [11, 12], "same anchor: its positive is a positive"), ([1, 2], [11, 11], "same positive")],
)
def test_duplicates_are_not_negatives(anchors, positives, why) -> None:
    assert not InBatchNegatives().sample(context(anchors, positives)).mask.any(), why
    assert InBatchNegatives(mask_duplicates=False).sample(context(anchors, positives)).mask.sum() == 2


def test_a_candidate_with_the_anchors_text_is_no_negative() -> None:
    proposed = InBatchNegatives().sample(context([1, 2], [11, 1]))
    assert proposed.mask.tolist() == [[False, False], [True, False]]


def test_hard_negatives_of_the_whole_batch_and_their_weight() -> None:
    ctx = context([1, 2], [11, 12], hard=[(21, 0), (22, 1), (23, 1)])
    sampler = HardNegatives(weight=3.0)
    proposed = sampler.sample(ctx)
    assert proposed.ids.tolist() == [2, 3, 4]
    assert proposed.mask.all()
    assert sampler.weigh(proposed, ctx).tolist() == [[3, 1, 1], [1, 3, 3]]
    assert HardNegatives().weigh(proposed, ctx) is None


def test_a_hard_negative_of_the_same_anchor_in_another_row_stays() -> None:
    ctx = context([1, 1], [11, 12], hard=[(21, 0), (22, 1)])
    assert HardNegatives().sample(ctx).mask.all()


def test_hard_negatives_that_equal_a_positive_or_only_pad_are_left_out() -> None:
    ctx = context([1, 2], [11, 12], hard=[(11, 1), (0, -1)])
    assert HardNegatives().sample(ctx).mask.tolist() == [[False, False], [True, False]]


FEW = st.integers(0, 3)


@settings(deadline=None)
@given(st.lists(st.tuples(FEW, FEW), min_size=2, max_size=5), st.lists(st.tuples(FEW, st.integers(-1, 1)), max_size=4))
def test_usable_is_the_rule_row_by_row(pairs: list[tuple[int, int]], hard: list[tuple[int, int]]) -> None:
    ctx = context([a for a, _ in pairs], [p for _, p in pairs], hard)
    expected = []
    for anchor, positive in pairs:
        row = [key not in (anchor, positive) and pair[0] != anchor for pair in pairs for key in pair[1:]]
        expected.append(row + [owner >= 0 and key not in (anchor, positive) for key, owner in hard])
    assert usable(ctx, torch.arange(len(pairs) + len(hard))).tolist() == expected


WORDS = 7
PLACE = st.integers(0, WORDS - 1)
POSITIVES = st.integers(0, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(-1, WORDS - 1), min_size=width, max_size=width), min_size=1, max_size=4
    )
)


def several(positives: list[list[int]], **replaced: Any) -> Context:
    return vocabulary_context(torch.ones(WORDS), torch.tensor(positives, dtype=torch.long), **replaced)


@settings(deadline=None)
@given(POSITIVES, st.lists(PLACE, max_size=12))
def test_positives_among_shared_draws_are_found_wherever_they_stand(rows: list[list[int]], drawn: list[int]) -> None:
    found = own_positives(several(rows), torch.tensor(drawn, dtype=torch.long))
    assert found.dtype == torch.bool and found.shape == (len(rows), len(drawn))
    assert found.tolist() == [[word in positives for word in drawn] for positives in rows]


@settings(deadline=None)
@given(POSITIVES, st.data())
def test_positives_among_an_anchors_own_draws_are_found(rows: list[list[int]], data: st.DataObject) -> None:
    drawn = [data.draw(st.lists(PLACE, min_size=5, max_size=5)) for _ in rows]
    found = own_positives(several(rows), torch.tensor(drawn))
    assert found.tolist() == [[word in own for word in draws] for own, draws in zip(rows, drawn, strict=True)]


def test_one_positive_an_anchor_is_several_of_which_one_is_there() -> None:
    ids = torch.tensor([4, 0, 4, 2])
    for draws in (ids, ids.expand(3, -1)):
        one = own_positives(vocabulary_context(torch.ones(5), torch.tensor([4, 2, 3])), draws)
        assert torch.equal(one, own_positives(several([[-1, 4], [2, -1], [3, 3]]), draws))
        assert one.tolist() == [[True, False, True, False], [False, False, False, True], [False] * 4]


def test_positives_count_as_negatives_where_they_are_not_to_be_masked() -> None:
    valid = torch.ones(WORDS, dtype=torch.bool)
    valid[6] = False
    ids = torch.tensor([1, 6, 2, 1])
    rows = [[1, 5, -1], [2, 6, 1]]
    assert usable(several(rows, valid=valid), ids).tolist() == [[False, False, True, False], [False] * 4]
    kept = usable(several(rows, valid=valid, mask_positives=False), ids)
    assert kept.tolist() == [[True, False, True, True]] * 2


def test_of_a_queue_what_was_written_and_was_never_a_positive_of_the_anchor() -> None:
    ctx = bank_context(batch=2, bank=4)
    ctx.candidate_keys[2], ctx.candidate_keys[3] = 0, 101  # the texts of anchor 0 and of the positive of anchor 1
    ctx.candidate_anchor_keys[4] = 1  # came with anchor 1 in an earlier step
    ctx.valid[5] = False
    proposed = QueueNegatives().sample(ctx)
    assert proposed.ids.tolist() == [2, 3, 4, 5]
    assert proposed.mask.tolist() == [[False, True, True, False], [True, False, False, False]]
    assert QueueNegatives(mask_duplicates=False).sample(ctx).mask.tolist() == [[True, True, True, False]] * 2


@pytest.mark.parametrize("sizes", [(5,), (3, 4), (2, 0, 3), (0, 4), (1, 1, 1)])
@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_a_table_in_parts_is_their_concatenation(sizes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    parts = [unit(size, 4, seed=size).requires_grad_() for size in sizes]
    whole, table = torch.cat(parts), Candidates(*parts)
    ids = torch.arange(6).reshape(shape) % len(whole)
    assert len(table) == len(whole)
    assert torch.equal(table[ids], whole[ids])
    scale = torch.arange(24.0).reshape(*shape, 4)
    ours, reference = (
        torch.autograd.grad((rows[ids] * scale).sum(), parts, allow_unused=True) for rows in (table, whole)
    )
    for mine, theirs in zip(ours, reference, strict=True):
        assert torch.equal(torch.zeros(0, 4) if mine is None else mine, theirs)


@pytest.mark.parametrize("region", [None, "bank"])
def test_rows_come_in_the_type_of_the_anchors(region: str | None) -> None:
    ctx = bank_context(batch=2, bank=3)
    rows = torch.cat(ctx.candidates.parts)
    ctx.candidates = Candidates(rows[:2], rows[2:].half())
    ids = torch.tensor([[2, 4], [3, 3]])
    found = ctx.vectors(ids, region)
    assert found.dtype == torch.float32 and torch.equal(found, rows.half()[ids].float())
    assert Candidates(rows[:2].half(), rows[2:])[ids].dtype == torch.float16  # of a table: that of its first part


def test_joined_pools_keep_their_masks_and_weights() -> None:
    ctx = context([1, 2], [11, 12], hard=[(21, 0)])
    sampler = Joined([InBatchNegatives(), HardNegatives(weight=2.0)])
    proposed = sampler.sample(ctx)
    assert proposed.ids.tolist() == [0, 1, 2]
    assert proposed.mask.tolist() == [[False, True, True], [True, False, True]]
    assert sampler.weigh(proposed, ctx).tolist() == [[1, 1, 2], [1, 1, 1]]
    assert sampler.needs == {"positives", "hard"}
    assert sampler.feedback(proposed, torch.zeros(2, 3)) is None


def test_joined_feedback_gives_each_part_its_own_columns() -> None:
    class Learned(InBatchNegatives):
        def feedback(self, negatives, reward):
            return reward.sum()

    ctx = context([1, 2], [11, 12], hard=[(21, 0)])
    sampler = Joined([Learned(), HardNegatives()])
    assert sampler.feedback(sampler.sample(ctx), torch.tensor([[1.0, 2, 50], [3, 4, 50]])) == 10


def test_build_from_a_recipe() -> None:
    sampler = build_negatives([{"name": "in_batch"}, {"name": "hard", "weight": 2.0}], mask_duplicates=False)
    assert isinstance(sampler, Joined)
    assert sampler.parts[1].weight == 2.0
    assert not sampler.parts[0].mask_duplicates


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "in_bach"}, "unknown sampler 'in_bach'; did you mean 'in_batch'"),
        ({"name": "hard", "wieght": 1}, "sampler hard has no option 'wieght'; did you mean 'weight'"),
        ({"name": "hard", "weight": 0}, "sampler hard: weight must be greater than 0, got 0"),
    ],
)
def test_unknown_names_and_options_are_refused(config, message) -> None:
    with pytest.raises(RecipeError, match=message):
        build_negatives([config])


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="'in_batch' is registered already"):
        register("in_batch")(type("Other", (NegativeSampler,), {}))
    assert registered()["in_batch"] is InBatchNegatives
