"""Each augmentation against a plain loop over everything it may do."""

import gzip
import math
from collections import Counter
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
import torch
from helpers import BERT_SIZES, save_tiny_checkpoint, tiny_tokenizer
from transformers import BertConfig, BertForMaskedLM

from hf_contrastive.augmentations import (
    Augmentation,
    WordAugmentation,
    build_augmentation,
    register_augmentation,
    registered_augmentations,
    share_of,
)
from hf_contrastive.augmentations.registry import _REGISTRY
from hf_contrastive.errors import DataError, RecipeError

WORDS = "a b c d e f g h i j".split()
SENTENCE = " ".join(WORDS)


def outcomes(augmentation: Augmentation, sentence: str, draws: int = 600) -> Counter[str]:
    return Counter(augmentation(sentence, Random(seed)) for seed in range(draws))


def assert_uniform(counts: Counter[str], expected: set[str]) -> None:
    assert set(counts) == expected
    mean = sum(counts.values()) / len(expected)
    assert all(abs(count - mean) < 5 * math.sqrt(mean) for count in counts.values())


@pytest.mark.parametrize(("share", "kept"), [(0.1, 9), (0.2, 8), (0.3, 7), (0.01, 9), (0.99, 1)])
def test_crop_keeps_every_stretch_of_that_length_alike(share, kept):
    stretches = {" ".join(WORDS[start : start + kept]) for start in range(len(WORDS) - kept + 1)}
    assert_uniform(outcomes(build_augmentation({"name": "crop", "share": share}), SENTENCE), stretches)


@pytest.mark.parametrize(("share", "kept"), [(0.1, 9), (0.2, 8), (0.04, 9)])
def test_word_deletion_leaves_out_every_set_of_that_size_alike(share, kept):
    subsets = {" ".join(words) for words in combinations(WORDS, kept)}
    counts = outcomes(build_augmentation({"name": "word_deletion", "share": share}), SENTENCE, 100 * len(subsets))
    assert_uniform(counts, subsets)


def test_delete_one_word():
    expected = {SENTENCE.replace(word, "").replace("  ", " ").strip() for word in WORDS}
    assert len(expected) == 10
    assert_uniform(outcomes(build_augmentation("delete_one_word"), SENTENCE), expected)


def test_mask_hides_that_many_words():
    mask = build_augmentation({"name": "mask", "share": 0.2}, tokenizer=tiny_tokenizer())
    expected = {
        " ".join("[MASK]" if place in hidden else word for place, word in enumerate(WORDS))
        for hidden in combinations(range(10), 2)
    }
    assert_uniform(outcomes(mask, SENTENCE, 4500), expected)


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(2, 0.1, 1), (2, 0.9, 1), (5, 0.1, 1), (14, 0.1, 1), (16, 0.1, 2), (20, 0.15, 3), (10, 0.99, 9)],
)
def test_a_share_is_one_word_at_least_and_never_all(count, share, expected):
    assert share_of(count, share) == expected


@pytest.mark.parametrize("name", ["crop", "word_deletion", "delete_one_word", "mask"])
def test_a_sentence_of_one_word_is_left_as_it_is(name):
    augmentation = build_augmentation(name, tokenizer=tiny_tokenizer())
    assert {augmentation(" word ", Random(seed)) for seed in range(5)} == {" word "}


def test_next_sentence_draws_one_of_those_that_follow():
    one, three = build_augmentation("next_sentence"), build_augmentation({"name": "next_sentence", "within": 3})
    assert (one.following, three.following) == (1, 3)
    assert one.batch([["a", "b"], ["c", "d"]], [Random(0), Random(1)]) == ["b", "d"]
    drawn = Counter(three.batch([["a", "b", "c", "d"]], [Random(seed)])[0] for seed in range(600))
    assert_uniform(drawn, {"b", "c", "d"})


SYNSETS = """\
dog.n.01\t1\tdog,domestic_dog,Canis_familiaris\ta canine
dog.n.03\t2\tdog,frump\tunattractive
inch.n.01\t3\tinch,in\ta unit
man.n.01\t4\tman,adult_male\tgrown
river.n.01\t5\triver\tstream
London.n.01\t6\tLondon,capital_of_the_UK\tcity
"""


def wordnet(folder: Path, text: str = SYNSETS) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "synsets.tsv.gz", "wt", encoding="utf-8") as file:
        file.write(text)
    return str(folder)


def test_synonym_replaces_one_word_by_any_lemma_of_its_senses(tmp_path):
    synonym = build_augmentation({"name": "synonym", "wordnet": wordnet(tmp_path)})
    expected = {f'The {other}, in London, saw a "man".' for other in ("domestic dog", "Canis familiaris", "frump")}
    counts = outcomes(synonym, 'The dog, in London, saw a "man".')
    assert set(counts) == expected | {'The dog, in London, saw a "adult male".'}
    # First one of the two words, then one of its synonyms.
    assert counts['The dog, in London, saw a "adult male".'] == pytest.approx(300, abs=60)
    assert {counts[text] for text in expected} <= set(range(65, 140))


def test_synonym_keeps_a_capital_and_leaves_what_it_does_not_know(tmp_path):
    synonym = build_augmentation({"name": "synonym", "wordnet": wordnet(tmp_path)})
    assert set(outcomes(synonym, "Man swims", 20)) == {"Adult male swims"}
    for sentence in ("the  river is in London", "nothing here", "dog"):
        assert set(outcomes(synonym, sentence, 20)) == {sentence}


def test_synonyms_from_wordnets_own_files(tmp_path, monkeypatch):
    (tmp_path / "wordnet" / "dict").mkdir(parents=True)
    licence = "  1 This software and database is being provided to you\n"
    noun = licence + "00001740 03 n 02 dog 0 domestic_dog 1 001 @ 00001930 n 0000 | a canine; that is it\n"
    adjective = "00001740 00 a 0b " + " ".join(f"w{c}(p) 0" for c in "abcdefghijk") + " 000 | eleven words\n"
    (tmp_path / "wordnet" / "dict" / "data.noun").write_text(noun)
    (tmp_path / "wordnet" / "dict" / "data.adj").write_text(adjective)
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(tmp_path))
    synonyms = build_augmentation("synonym").synonyms
    assert synonyms["dog"] == ["domestic dog"] and "domestic dog" not in synonyms
    assert synonyms["wk"] == [f"w{c}" for c in "abcdefghij"]
    (tmp_path / "wordnet" / "dict" / "data.adj").write_text("00001740 00 a 05 wa 0\n")
    with pytest.raises(DataError, match=r"data\.adj, line 1: not a synset"):
        build_augmentation("synonym")


def test_wordnet_that_is_not_there_or_broken_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_CONTRASTIVE_DATA", raising=False)
    with pytest.raises(DataError, match="HF_CONTRASTIVE_DATA is not set; give the folder"):
        build_augmentation("synonym")
    with pytest.raises(DataError, match=r"neither synsets.tsv\[.gz\] nor data.noun in .*empty; give the folder"):
        build_augmentation({"name": "synonym", "wordnet": str(tmp_path / "empty")})
    with pytest.raises(DataError, match=r"synsets.tsv.gz, line 2: expected name, offset, lemmas, gloss, got 1 fields"):
        build_augmentation({"name": "synonym", "wordnet": wordnet(tmp_path / "broken", "a\t1\tb,c\td\nx\n")})
    with pytest.raises(DataError, match="no synset in .* has two lemmas"):
        build_augmentation({"name": "synonym", "wordnet": wordnet(tmp_path / "alone", "a\t1\tb\td\n")})


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("masked_lm")
    BertForMaskedLM(BertConfig(**BERT_SIZES, initializer_range=1.0)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def test_mlm_puts_in_the_likeliest_other_word(masked_lm):
    augmentation = build_augmentation({"name": "mlm", "share": 0.25}, checkpoint=masked_lm)
    tokenizer = tiny_tokenizer()
    model = BertForMaskedLM.from_pretrained(masked_lm).double().eval()
    sentences = ["The dog, runs outside by two trees !", "a man plays the guitar", "a", "[MASK] dog", "cat . ?"]
    rows = [[sentence] for sentence in sentences * 5]
    positives = augmentation.batch(rows, [Random(seed) for seed in range(len(rows))])
    replaced = set()
    for (sentence,), positive in zip(rows, positives, strict=True):
        old, new = sentence.split(), positive.split()
        places = [place for place in range(len(old)) if old[place] != new[place]]
        if sentence in sentences[2:]:
            assert positive == sentence
            continue
        assert len(places) == (2 if sentence == sentences[0] else 1)
        cores = [word.strip(",!") for word in old]
        hidden = [
            word.replace(core, "[MASK]") if i in places else word
            for i, (word, core) in enumerate(zip(old, cores, strict=True))
        ]
        ids = tokenizer(" ".join(hidden), return_tensors="pt")
        logits = model(**ids).logits[0][ids["input_ids"][0] == tokenizer.mask_token_id]
        for place, scores in zip(places, logits, strict=True):
            ranked = tokenizer.convert_ids_to_tokens(scores.argsort(descending=True).tolist())
            best = next(word for word in ranked if word.isalpha() and word != cores[place].lower())
            best = best.capitalize() if cores[place][0].isupper() else best
            assert new[place] == old[place].replace(cores[place], best)
            replaced.add((sentence, place))
    assert len(replaced) > 6  # other words each time


def test_mlm_does_not_depend_on_what_else_is_in_the_batch(masked_lm):
    augmentation = build_augmentation("mlm", checkpoint=masked_lm)
    sentences = [
        " ".join(Random(seed).choices("a man woman dog cat plays runs the red".split(), k=4 + seed % 9))
        for seed in range(40)
    ]
    together = augmentation.batch([[sentence] for sentence in sentences], [Random(seed) for seed in range(40)])
    assert together == [augmentation(sentence, Random(seed)) for seed, sentence in enumerate(sentences)]


def test_mlm_wants_a_head_and_a_mask_token(tmp_path, masked_lm):
    bare = save_tiny_checkpoint(tmp_path / "bare")
    with pytest.raises(RecipeError, match="bare has no masked-language-model head .* name one that has"):
        build_augmentation("mlm", checkpoint=str(bare))
    with pytest.raises(RecipeError, match="nowhere cannot be loaded as a masked language model"):
        build_augmentation({"name": "mlm", "model": str(tmp_path / "nowhere")}, checkpoint=masked_lm)
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(RecipeError, match="mask: the checkpoint's tokeniser has no mask token"):
        build_augmentation("mask", tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("crap", "unknown augmentation 'crap'; did you mean 'crop'"),
        ({"name": "crop", "shore": 0.2}, "crop has no option 'shore'; did you mean 'share'"),
        ({"name": "crop", "share": 10}, "crop: share must be a number between 0 and 1, got 10"),
        (
            {"name": "word_deletion", "share": "0.1"},
            "word_deletion: share must be a number between 0 and 1, got '0.1'",
        ),
        ({"name": "next_sentence", "within": 0}, "within must be a whole number of rows, 1 or more, got 0"),
        ({"name": "mlm", "checkpoint": "x"}, "mlm has no option 'checkpoint'; choose from share, model"),
    ],
)
def test_what_a_recipe_cannot_say(config, message):
    with pytest.raises(RecipeError, match=message):
        build_augmentation(config, tokenizer=tiny_tokenizer(), checkpoint="")


def test_a_name_is_taken_once_and_every_augmentation_says_what_it_does():
    @register_augmentation("shout")
    class Shout(WordAugmentation):
        def change(self, words: list[str], draw: Random) -> list[str]:
            return [word.upper() for word in words]

    try:
        assert build_augmentation("shout")("a b", Random(0)) == "A B"
        with pytest.raises(ValueError, match="'shout' is registered already"):
            register_augmentation("shout")(type("Other", (WordAugmentation,), {}))
    finally:
        _REGISTRY.pop("shout")
    names = {"crop", "word_deletion", "delete_one_word", "mask", "mlm", "synonym", "next_sentence"}
    assert set(registered_augmentations()) == names
    assert all(kind.__doc__ for kind in registered_augmentations().values())


@pytest.mark.shared
def test_real_wordnet(shared_data):
    synonym = build_augmentation({"name": "synonym", "wordnet": str(shared_data / "wordnet")})
    assert {"automobile", "motorcar"} <= set(synonym.synonyms["car"])
    assert not {"in", "it", "he", "was", "i", "are"} & synonym.synonyms.keys()
