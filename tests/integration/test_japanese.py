"""Another language than English: the Japanese recipe on its real files, with a tiny model of Japanese characters."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import BERT_SIZES
from transformers import AutoModel, BertConfig
from transformers.models.bert_japanese.tokenization_bert_japanese import BertJapaneseTokenizer

from hf_contrastive.data.files import read_rows
from hf_contrastive.errors import CheckpointError
from hf_contrastive.evaluation import load_sts_pairs
from hf_contrastive.models import SentenceEncoder
from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

RECIPE = Path(__file__).parents[2] / "recipes/simcse/unsup-japanese.yaml"


def save_japanese_checkpoint(folder: Path, sentences: list[str], words: str = "basic") -> Path:
    """A tiny BERT with a tokeniser written in Python, as the Hub's Japanese ones are, of the commonest characters."""
    folder.mkdir(parents=True)
    characters = [c for c, _ in Counter("".join(sentences)).most_common(1000) if not c.isspace()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(
        str(folder / "vocab.txt"), subword_tokenizer_type="character", word_tokenizer_type="basic"
    )
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"word_tokenizer_type": words}
    path.write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(0)
    AutoModel.from_config(BertConfig(**BERT_SIZES | {"vocab_size": len(vocabulary)})).save_pretrained(folder)
    return folder


@pytest.mark.shared
def test_the_recipe_trains_on_wikipedia_and_is_chosen_by_jsts(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_CONTRASTIVE_DATA", str(shared_data))
    rows = read_rows(shared_data / "sentences/wiki_ja.txt.gz", ["text"])
    sentences = [next(rows)[1]["text"] for _ in range(2000)]
    checkpoint = save_japanese_checkpoint(tmp_path / "checkpoint", sentences)
    valid, test = (shared_data / f"japanese/jsts/{split}-v1.3.json" for split in ("valid", "test"))
    few = tmp_path / "valid.json"
    few.write_text("\n".join(valid.read_text(encoding="utf-8").split("\n")[:100]) + "\n", encoding="utf-8")
    assert [len(load_sts_pairs(path)) for path in (valid, test, few)] == [1457, 1589, 100]
    overrides = {
        "model_name_or_path": checkpoint,
        "dev_data": few,
        "output_dir": tmp_path / "out",
        "max_train_rows": 200,
        "max_steps": 4,
        "eval_steps": 2,
        "save_steps": 2,
        "logging_steps": 2,
        "per_device_train_batch_size": 16,
        "learning_rate": 1e-3,
        "disable_tqdm": "true",
        "use_cpu": "true",
        "bf16": "false",
    }
    recipe = load_recipe(RECIPE, [f"--{key}={value}" for key, value in overrides.items()])
    assert Path(recipe.evaluation.test_data) == test
    results = train(recipe)
    assert results["steps"] == 4 and {"dev", "test"} <= results["after"].keys()
    # Characters in common alone rank pairs better than chance: what is read is Japanese and no question mark.
    assert results["before"]["test"]["spearman"] > 0.2
    encoder = SentenceEncoder.from_pretrained(tmp_path / "out/final")
    assert encoder.tokenizer.tokenize("人が走る。") == list("人が走る。")
    one, other = encoder.encode(["人が走る。", "人が食べる。"])
    assert not torch.allclose(one, other)


def test_a_tokeniser_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fugashi", None)
    folder = save_japanese_checkpoint(tmp_path / "checkpoint", ["犬が走る"], words="mecab")
    with pytest.raises(CheckpointError, match="a package that is not installed .*pip install fugashi unidic-lite"):
        SentenceEncoder.from_pretrained(folder)
