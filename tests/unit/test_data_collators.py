import pytest
import torch
from datasets import Dataset
from helpers import WORDS, tiny_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_contrastive.data import (
    DropoutPositiveCollator,
    NLITripletCollator,
    PairCollator,
    collator_for,
    tokenize_dataset,
)
from hf_contrastive.errors import DataError

TOKENIZER = tiny_tokenizer()
SENTENCES = st.lists(st.sampled_from([word for word in WORDS if word.isascii() and word.isalpha()]), min_size=1).map(
    " ".join
)


def row(*lengths: int, first: int = 10) -> dict:
    """Views of these lengths; every token and key is another number."""
    views, start = [], first
    for length in lengths:
        views.append(list(range(start, start + length)))
        start += length
    return {"tokens": views, "keys": [-(1 << 63) + view[0] for view in views]}


def test_dropout_pairs(tokenizer):
    rows = [row(2), row(4, first=20)]
    batch = DropoutPositiveCollator(tokenizer)(rows)
    assert batch["input_ids"].tolist() == [[10, 11, 0, 0], [20, 21, 22, 23]] * 2
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]] * 2
    assert batch["keys"].tolist() == [rows[0]["keys"][0], rows[1]["keys"][0]] * 2
    assert batch["negative_rows"].tolist() == []
    assert batch["lengths"] == [2, 4, 2, 4]
    assert all(batch[name].dtype == torch.long for name in ("input_ids", "attention_mask", "keys", "negative_rows"))


def test_pairs_are_anchors_then_positives(tokenizer):
    batch = PairCollator(tokenizer)([row(1, 3), row(2, 2, first=20)])
    assert batch["input_ids"].tolist() == [[10, 0, 0], [20, 21, 0], [11, 12, 13], [22, 23, 0]]
    assert batch["lengths"] == [1, 2, 3, 2] and batch["negative_rows"].shape == (0,)


def test_hard_negatives_may_differ_in_number(tokenizer):
    rows = [row(1, 1, 2, 1), row(1, 1, first=20), row(1, 1, 3, first=30)]
    batch = NLITripletCollator(tokenizer)(rows)
    assert batch["input_ids"].tolist() == [
        [10, 0, 0],
        [20, 0, 0],
        [30, 0, 0],
        [11, 0, 0],
        [21, 0, 0],
        [31, 0, 0],
        [12, 13, 0],
        [14, 0, 0],
        [32, 33, 34],
    ]
    assert batch["negative_rows"].tolist() == [0, 0, 2]
    assert batch["keys"].tolist()[6:] == [*rows[0]["keys"][2:], rows[2]["keys"][2]]
    assert batch["lengths"] == [1, 1, 1, 1, 1, 1, 2, 1, 3]
    assert NLITripletCollator(tokenizer)(rows[1:2])["negative_rows"].tolist() == []


@pytest.mark.parametrize(("multiple", "width"), [(None, 5), (1, 5), (5, 5), (4, 8), (8, 8)])
def test_pad_to_multiple_of(tokenizer, multiple, width):
    batch = PairCollator(tokenizer, pad_to_multiple_of=multiple)([row(5, 2)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, width)
    assert batch["attention_mask"].sum(1).tolist() == batch["lengths"] == [5, 2]


def test_padding_is_the_tokenizers_and_on_the_right(tokenizer):
    tokenizer.pad_token = "[MASK]"
    tokenizer.padding_side = "left"
    assert DropoutPositiveCollator(tokenizer)([row(1), row(2)])["input_ids"].tolist()[0] == [10, 4]


@pytest.mark.parametrize(
    ("collator", "views", "problem"),
    [
        (DropoutPositiveCollator, 2, "dropout pairs have 1 view a row, got 2"),
        (PairCollator, 1, "pairs have 2 views a row, got 1"),
        (PairCollator, 3, "pairs have 2 views a row, got 3"),
    ],
)
def test_wrong_number_of_views(tokenizer, collator, views, problem):
    good = row(*[1] * (1 if collator is DropoutPositiveCollator else 2))
    with pytest.raises(DataError) as caught:
        collator(tokenizer)([good, row(*[1] * views)])
    assert str(caught.value) == (
        f"row 1 of the batch: {problem}; choose the collator with collator_for(views, tokenizer)"
    )


def test_triplets_need_a_positive(tokenizer):
    with pytest.raises(DataError) as caught:
        NLITripletCollator(tokenizer)([row(1)])
    assert str(caught.value) == (
        "row 0 of the batch: triplets have at least 2 views a row, got 1; map a positive column in `columns:`"
    )


@pytest.mark.parametrize(
    ("views", "expected"),
    [(1, DropoutPositiveCollator), (2, PairCollator), (3, NLITripletCollator), (7, NLITripletCollator)],
)
def test_collator_by_views(tokenizer, views, expected):
    collator = collator_for(views, tokenizer, pad_to_multiple_of=8)
    assert type(collator) is expected
    assert collator.tokenizer is tokenizer and collator.pad_to_multiple_of == 8


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.tuples(SENTENCES, SENTENCES, st.lists(SENTENCES, max_size=3)), min_size=1, max_size=5),
    kind=st.sampled_from(["anchor", "positive", "negatives"]),
)
def test_a_batch_decodes_back_to_its_rows(rows, kind):
    names = ["anchor", "positive", "negatives"][: 1 + ["anchor", "positive", "negatives"].index(kind)]
    data = {name: [cells[place] for cells in rows] for place, name in enumerate(names)}
    dataset = Dataset.from_dict(data)
    tokenized, _ = tokenize_dataset(dataset, TOKENIZER, max_length=128)
    batch = collator_for(len(names), TOKENIZER)([tokenized[index] for index in range(len(rows))])

    decoded = TOKENIZER.batch_decode(batch["input_ids"], skip_special_tokens=True)
    count = len(rows)
    assert decoded[:count] == data["anchor"]
    assert decoded[count : 2 * count] == data.get("positive", data["anchor"])
    negatives = [[] for _ in rows]
    for place, text in zip(batch["negative_rows"].tolist(), decoded[2 * count :], strict=True):
        negatives[place].append(text)
    assert negatives == data.get("negatives", [[]] * count)
    assert batch["attention_mask"].sum(1).tolist() == batch["lengths"] == [len(text.split()) + 2 for text in decoded]
    assert torch.equal(batch["attention_mask"] == 0, batch["input_ids"] == TOKENIZER.pad_token_id)
    keys = batch["keys"].tolist()
    assert len(set(zip(decoded, keys, strict=True))) == len(set(decoded)) == len(set(keys))
