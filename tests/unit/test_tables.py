"""The generated tables: exact Markdown from made-up results, and those of this repository."""

import json
from pathlib import Path

import ablation_tables
import ablations
import made_up_ablations
import made_up_encoding
import made_up_graphs
import made_up_results
import made_up_words
import pytest
import sentence_tables
import tables
from made_up_results import ENVIRONMENT, MACHINE, MEMORY_TABLE, SPEED, SPEED_TABLE, contestant
from table_cells import machines

ROOT = Path(__file__).parents[2]
MADE_UP = (made_up_results, made_up_ablations, made_up_encoding, made_up_words, made_up_graphs)
FILES = {name: made for module in MADE_UP for name, made in module.FILES.items()}
EXPECTED = {name: table for module in MADE_UP for name, table in module.EXPECTED.items()}


def block(name: str, table: str = "") -> str:
    return f"# Title\n\n<!-- table: {name} -->\n{table}<!-- end: {name} -->\n\nmore text\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "benchmarks" / "results" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("no table here\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_block_is_filled_and_then_up_to_date(repository: Path, name: str) -> None:
    page = repository / "docs" / "page.md"
    page.write_text(block(name, "old\n"), encoding="utf-8")
    assert tables.update(repository, write=False) == [page]
    assert page.read_text(encoding="utf-8") == block(name, "old\n")
    assert tables.update(repository, write=True) == [page]
    assert page.read_text(encoding="utf-8") == block(name, EXPECTED[name])
    assert tables.update(repository, write=False) == []


def test_a_study_that_went_on_elsewhere_names_both_machines() -> None:
    other = {**ENVIRONMENT, "cpu": "Another", "cores": 8, "threads": 1}
    runs = [{"environment": one} for one in (ENVIRONMENT, other, ENVIRONMENT)]
    assert machines(runs) == "Some CPU or Another, 1 or 2 cores, torch 2.13.0, transformers 5.23.0"
    assert machines(runs[::2]) == MACHINE
    assert machines(runs[1:2]) == "Another, 1 core, torch 2.13.0, transformers 5.23.0"


def test_several_blocks_in_one_file(repository: Path) -> None:
    readme = repository / "README.md"
    readme.write_text(block("memory") + block("sentence_training"), encoding="utf-8")
    tables.update(repository, write=True)
    assert readme.read_text(encoding="utf-8") == block("memory", MEMORY_TABLE) + block(
        "sentence_training", SPEED_TABLE
    )


def test_a_third_contestant_has_its_row() -> None:
    summary = json.loads(json.dumps(SPEED["summary"]))
    summary["contestants"]["peer_allocator"] = contestant(60, 1, 3e9)
    summary["ours_against"]["peer_allocator"] = {"speed_ratio": {"mean": 1.5, "stdev": 0.01}}
    made = sentence_tables.sentence_training_table([{**SPEED, "summary": summary}])
    row = "| sentence-transformers, our allocator settings | 60.0 ± 1.0 | 1.50 ± 0.01 | 3.00 GB |"
    assert row in made.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: memory -->\n", "README.md: each"),
        ("<!-- table: memory -->\n<!-- end: sentence_training -->\n", "README.md: each"),
        (block("memmory"), "README.md: unknown table 'memmory'"),
    ],
)
def test_blocks_that_cannot_be_filled_are_named(repository: Path, text: str, message: str) -> None:
    (repository / "README.md").write_text(text, encoding="utf-8")
    with pytest.raises(tables.TableError, match=message):
        tables.update(repository, write=False)


@pytest.mark.parametrize(
    ("name", "missing"), [("memory", "memory_cpu.json"), ("simcse_distilbert", "*/*.json"), ("dropout", "*/*.json")]
)
def test_missing_results_are_named(repository: Path, name: str, missing: str) -> None:
    for path in (repository / "benchmarks" / "results").glob(missing):
        path.unlink()
    (repository / "README.md").write_text(block(name), encoding="utf-8")
    with pytest.raises(tables.TableError, match=rf"README.md: table {name} is made from .*, which is missing"):
        tables.update(repository, write=False)


def test_a_study_that_has_only_begun_has_its_table(repository: Path) -> None:
    for path in (repository / "benchmarks" / "results" / "ablations").iterdir():
        path.unlink()
    page = repository / "README.md"
    page.write_text(block("dropout"), encoding="utf-8")
    tables.update(repository, write=True)
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| p = ")]
    assert [row for row in rows if "|  |  |" not in row] == ["| p = 0.1 | 70.00 | 65.00 | 82.5 | 1 |"]


def test_check_exits_with_a_message_and_writes_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROOT", repository)
    tables.main(check=True)  # no block: nothing to say
    (repository / "README.md").write_text(block("memory"), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"README.md: tables out of date; run `python scripts/tables.py`"):
        tables.main(check=True)
    assert (repository / "README.md").read_text(encoding="utf-8") == block("memory")
    tables.main(check=False)
    tables.main(check=True)


def test_tables_of_ablations_have_the_rows_of_the_study() -> None:
    of_poolers = {f"{setting}_{pooler}" for setting in ("unsup", "sup") for pooler in ablation_tables.POOLERS}
    assert ablations.TABLES["augmentations"].keys() == ablation_tables.AUGMENTATIONS.keys()
    assert ablations.TABLES["dropout"].keys() == ablation_tables.DROPOUT.keys()
    assert ablations.TABLES["poolers"].keys() == of_poolers
    plain = {
        f"{table}-{name}": f"{row.setting}-in_batch"
        for table, rows in ablations.TABLES.items()
        for name, row in rows.items()
        if row.recipe is None
    }
    assert plain == ablation_tables.SHARED


def test_the_tables_of_this_repository_are_up_to_date() -> None:
    assert tables.update(ROOT, write=False) == []
