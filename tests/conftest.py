import os
import sys
from pathlib import Path

import datasets
import pytest
from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "benchmarks", "scripts")]
pytest.register_assert_rewrite("queries", "resuming", "runs")

from helpers import tiny_tokenizer  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tests make `datasets` cache goes with them, and no test finds what an earlier run cached."""
    folder = tmp_path_factory.mktemp("datasets_cache")
    datasets.config.HF_DATASETS_CACHE = folder
    return folder


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data; the test is skipped where it is not at hand."""
    folder = os.environ.get("HF_CONTRASTIVE_DATA")
    if not folder:
        pytest.skip("HF_CONTRASTIVE_DATA is not set: no real data")
    return Path(folder)
