"""The benchmark that kills `encode` and looks at every row."""

import json
from pathlib import Path

import encode_resume
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers import save_tiny_checkpoint
from runs import write_sentences

from hf_contrastive.errors import RecipeError
from hf_contrastive.models import SentenceEncoder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    return str(save_tiny_checkpoint(tmp_path_factory.mktemp("model")))


@pytest.mark.slow
def test_killed_twice_and_every_row_is_there(tmp_path: Path, checkpoint: str) -> None:
    sentences = write_sentences(tmp_path / "sentences.txt", 600)
    output = tmp_path / "out.json"
    encode_resume.main(checkpoint, sentences, None, 32, 1, False, output)
    summary = json.loads(output.read_text())["summary"]
    assert summary["equal"] and summary["rows"] == 600
    first, second, third = summary["starts"]
    assert first["killed"] and second["killed"] and not third["killed"]
    assert 0 == first["found"] < 200 <= first["left"] == second["found"] < second["left"] == third["found"] < 600


@pytest.mark.parametrize("fault", ["doubled", "another's vector", None])
def test_what_is_wrong_is_found(tmp_path: Path, checkpoint: str, fault: str | None) -> None:
    texts = write_sentences(tmp_path / "sentences.txt", 6).read_text().splitlines()
    vectors = SentenceEncoder.from_pretrained(checkpoint, pooler="avg").encode(texts)
    if fault == "another's vector":
        vectors = vectors[[1, 0, 2, 3, 4, 5]]
    rows = [0, 1, 1, 2, 3, 4] if fault == "doubled" else list(range(6))
    file = tmp_path / "vectors.parquet"
    pq.write_table(pa.table({"row": rows, "text": texts, "vector": vectors.tolist()}), file)
    (tmp_path / "vectors.parquet.json").write_text('{"made": {"normalize": false}}')
    found = encode_resume.compared(file, texts, checkpoint, 32, bf16=False)
    assert found["equal"] == (fault is None) and found["in_order"] == (fault != "doubled")


def test_too_few_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="2 shards are too few"):
        encode_resume.run_killed([], tmp_path / "vectors.parquet", 2)
