"""Rows to augment, the draws of their positives, and what is refused or counted."""

import logging
from random import Random

import pytest
import torch
from datasets import Dataset, IterableDataset
from torch.utils.data import DataLoader

from hf_contrastive.augmentations import Augmentation, build_augmentation
from hf_contrastive.data import (
    AugmentedPositiveCollator,
    check_augments,
    rows_to_augment,
    sentence_key,
    tokenize_dataset,
)
from hf_contrastive.errors import DataError

TEXTS = ["the dog runs outside by the river", "a man plays the guitar", "dog", "a woman reads the book ."] * 4


def collator(tokenizer, augmentation="word_deletion", seed=1, max_length=16) -> AugmentedPositiveCollator:
    kind = augmentation if isinstance(augmentation, Augmentation) else build_augmentation(augmentation)
    return AugmentedPositiveCollator(tokenizer, augmentation=kind, max_length=max_length, seed=seed)


def rows_of(tokenizer, texts=TEXTS, max_length=16, augmentation="word_deletion") -> Dataset:
    tokenized, _ = tokenize_dataset(Dataset.from_dict({"anchor": texts}), tokenizer, max_length, keep_text=True)
    return rows_to_augment(tokenized, build_augmentation(augmentation))


def decoded(tokenizer, batch) -> list[str]:
    return tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)


def test_anchors_then_positives_drawn_from_seed_epoch_and_row(tokenizer):
    rows = rows_of(tokenizer)
    make = collator(tokenizer, seed=7)
    delete = build_augmentation("word_deletion")
    seen = []
    for epoch in (0, 1, 2):
        make.epoch.fill_(epoch)
        batch = make([rows[index] for index in (5, 0, 2)])
        # By hand, from the texts alone.
        expected = [delete(TEXTS[index], Random(f"7 {epoch} {index}")) for index in (5, 0, 2)]
        assert decoded(tokenizer, batch) == [TEXTS[5], TEXTS[0], TEXTS[2], *expected]
        keys = [sentence_key(text) for text in (TEXTS[5], TEXTS[0], TEXTS[2], *expected)]
        assert batch["keys"].tolist() == keys
        assert batch["negative_rows"].tolist() == []
        assert batch["attention_mask"].sum(1).tolist() == batch["lengths"]
        seen.append(tuple(expected))
    assert len(set(seen)) == 3
    make.epoch.fill_(0)
    assert decoded(tokenizer, make([rows[0]]))[1] == seen[0][1]  # whatever else is in the batch
    others = [collator(tokenizer, seed=seed)([rows[index] for index in range(16)]) for seed in (7, 8)]
    assert decoded(tokenizer, others[0]) != decoded(tokenizer, others[1])


def test_equal_sentences_in_two_rows_have_draws_of_their_own(tokenizer):
    rows = rows_of(tokenizer, ["the dog runs outside by the river"] * 30)
    assert len(set(decoded(tokenizer, collator(tokenizer)(list(rows)))[30:])) > 3


def test_any_number_of_workers_gives_the_same_batches(tokenizer):
    rows = rows_of(tokenizer)
    runs = []
    for options in ({}, {"num_workers": 2, "persistent_workers": True}, {"num_workers": 1}):
        make = collator(tokenizer)
        loader = DataLoader(rows, batch_size=4, collate_fn=make, **options)
        batches = []
        for epoch in range(2):
            make.epoch.fill_(epoch)
            batches += [decoded(tokenizer, batch) for batch in loader]
        runs.append(batches)
    assert runs[0] == runs[1] == runs[2]
    assert runs[0][:4] != runs[0][4:]


def test_an_unchanged_positive_is_the_anchor(tokenizer):
    texts = ["dog", "outside outside outside outside outside"]
    rows = rows_of(tokenizer, texts, max_length=4)
    assert rows["text"][:] == ["dog", "outside outside"]
    batch = collator(tokenizer, "crop", max_length=4)(list(rows))
    assert batch["keys"][0] == batch["keys"][2] == sentence_key("dog")
    assert batch["input_ids"][0].tolist() == batch["input_ids"][2].tolist()
    assert batch["keys"][1] == sentence_key(texts[1]) and batch["keys"][3] == sentence_key("outside")


@pytest.mark.parametrize(
    ("side", "text", "max_length", "expected"),
    [
        ("right", "  a man plays the guitar ", 32, "a man plays the guitar"),
        ("right", "a man plays the guitar", 5, "a man plays"),
        ("right", "a man plays, the guitar", 5, "a man"),  # the comma's token is gone
        ("right", "a man plays, the guitar", 6, "a man plays,"),
        ("left", "a man plays the guitar", 5, "plays the guitar"),
        ("left", "a man,plays the guitar", 5, "the guitar"),
        ("right", "man,plays,the,guitar", 5, "man,plays"),  # one word only: what there is of it
    ],
)
def test_the_text_is_what_the_encoder_sees(tokenizer, side, text, max_length, expected):
    tokenizer.truncation_side = side
    dataset = Dataset.from_dict({"anchor": [text]})
    tokenized, _ = tokenize_dataset(dataset, tokenizer, max_length, keep_text=True)
    assert tokenized["text"][0] == expected
    plain, _ = tokenize_dataset(dataset, tokenizer, max_length)
    assert plain.column_names == ["tokens", "keys"]
    assert tokenized.select_columns(["tokens", "keys"]).to_dict() == plain.to_dict()


def test_following_sentences(tokenizer, caplog):
    texts = ["a man", "two dogs .", "the river", "a tree"]
    with caplog.at_level(logging.INFO, logger="hf_contrastive"):
        rows = rows_of(tokenizer, texts, augmentation={"name": "next_sentence", "within": 2})
    assert "the last 2 rows have too few rows behind them and are left out" in caplog.text
    assert rows["row"][:] == [0, 1] and rows["text"][:] == texts[:2]
    assert rows["following_1"][:] == texts[1:3] and rows["following_2"][:] == texts[2:]
    make = collator(tokenizer, {"name": "next_sentence", "within": 2})
    drawn = set()
    for epoch in range(20):
        make.epoch.fill_(epoch)
        drawn.add(make.positives([rows[0]])[0])
    assert drawn == {texts[1], texts[2]}
    with pytest.raises(DataError, match="reads 2 following rows, and the data have 2; add rows"):
        rows_of(tokenizer, texts[:2], augmentation={"name": "next_sentence", "within": 2})


def test_rows_that_were_chosen_or_shuffled_keep_their_texts(tokenizer):
    dataset = Dataset.from_dict({"anchor": [f"a {'dog ' * (n + 1)}".strip() for n in range(8)]})
    tokenized, _ = tokenize_dataset(dataset, tokenizer, 32, keep_text=True)
    order = [6, 1, 4, 3]
    rows = rows_to_augment(tokenized.select(order), build_augmentation("next_sentence"))
    for place in range(3):
        row = rows[place]
        assert (row["row"], row["text"]) == (place, dataset["anchor"][order[place]])
        assert row["following_1"] == dataset["anchor"][order[place + 1]]
        assert tokenizer.decode(row["tokens"][0], skip_special_tokens=True) == row["text"]


def test_what_cannot_be_changed_is_counted_and_refused_where_it_is_all(tokenizer, caplog):
    with caplog.at_level(logging.INFO, logger="hf_contrastive"):
        check_augments(rows_of(tokenizer), collator(tokenizer))
    assert caplog.messages[-1] == "augmentation: WordDeletion leaves 4 of the first 16 sentences as they are"
    with pytest.raises(DataError, match="WordDeletion changes none of the first 3 sentences, for instance '日本'"):
        check_augments(rows_of(tokenizer, ["日本", "東京", "é"]), collator(tokenizer))


class Nothing(Augmentation):
    def __call__(self, sentence: str, draw: Random) -> str:
        return " "


def test_data_that_do_not_fit_are_refused(tokenizer):
    pairs = Dataset.from_dict({"anchor": ["a dog"], "positive": ["the dog"]})
    with pytest.raises(DataError, match="it makes the positives, and these data bring some"):
        tokenize_dataset(pairs, tokenizer, 8, keep_text=True)
    stream = IterableDataset.from_generator(lambda: iter([{"anchor": "a"}]))
    with pytest.raises(DataError, match="a stream's rows have no numbers to draw by"):
        tokenize_dataset(stream, tokenizer, 8, keep_text=True)
    tokenized, _ = tokenize_dataset(Dataset.from_dict({"anchor": ["a dog"]}), tokenizer, 8)
    with pytest.raises(DataError, match="tokenised without their texts"):
        rows_to_augment(tokenized, build_augmentation("crop"))
    with pytest.raises(DataError, match=r"Nothing left nothing of row 1 \(counted from 0\), 'a man plays the guitar'"):
        collator(tokenizer, Nothing())([rows_of(tokenizer)[1]])


def test_positives_are_truncated(tokenizer):
    rows = rows_of(tokenizer, ["a man", "the dog runs outside by the river"], 16, "next_sentence")
    batch = collator(tokenizer, "next_sentence", max_length=5)(list(rows))
    assert batch["lengths"] == [4, 5] and torch.equal(batch["attention_mask"].sum(1), torch.tensor([4, 5]))
