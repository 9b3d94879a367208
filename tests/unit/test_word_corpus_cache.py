"""The cache of word corpora: found again, made anew, and made by one process at a time."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from word_corpora import load, reference, sentences

from hf_contrastive.data import WordCorpus, word_corpus, word_encoding, word_tokenizers


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that corpora are made in, in order."""
    folders: list[Path] = []
    encode = word_encoding.encode_words

    def spy(source, split, folder, **options):
        folders.append(folder)
        return encode(source, split, folder, **options)

    monkeypatch.setattr(word_corpus, "encode_words", spy)
    return folders


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.txt"
    path.write_text("a a b b 3\nA b c\na b b\n")
    return path


def test_the_cache_is_found_again(path: Path, tmp_path: Path, made: list[Path]) -> None:
    first, second = (load(path, tmp_path / "cache", min_count=2) for _ in range(2))
    assert len(made) == 1
    assert sentences(first) == sentences(second) == [["a", "a", "b", "b"], ["a", "b"], ["a", "b", "b"]]
    assert second.vocabulary.words == first.vocabulary.words == ["b", "a"]
    (folder,) = (entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir())
    names = ["corpus.json", "ids.npy", "starts.npy", "vocab.tsv", "vocab_total.json"]
    assert sorted(entry.name for entry in folder.iterdir()) == names
    assert np.load(folder / "ids.npy").tolist() == first.ids.tolist()  # a .npy file for anyone


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer": "whitespace"},
        {"min_count": 1},
        {"max_vocabulary": 2},
        {"max_rows": 2},
        "content",
        "time",
        "name",
        "another file",
    ],
)
def test_any_other_setting_is_another_corpus(path: Path, tmp_path: Path, made: list[Path], change: dict | str) -> None:
    options, train_data = {"min_count": 2}, str(path)
    load(train_data, tmp_path / "cache", **options)
    stat = path.stat()
    if isinstance(change, dict):
        options |= change
    elif change == "content":
        path.write_text("a a b b 3\nA b c\na b b b\n")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    elif change == "name":
        train_data = str(path.rename(tmp_path / "y.txt"))
    else:
        train_data += f",{path}"
    changed = load(train_data, tmp_path / "cache", **options)
    assert len(made) == 2
    lines = [Path(file).read_text().splitlines() for file in train_data.split(",")]
    expected = reference(
        sum(lines, [])[: options.get("max_rows")],
        options.get("tokenizer", "text8"),
        options["min_count"],
        options.get("max_vocabulary"),
    )
    assert sentences(changed) == expected[1]
    load(train_data, tmp_path / "cache", **options)
    assert len(made) == 2


@pytest.mark.parametrize("damage", ["ids.npy", "starts.npy", "vocab.tsv", "corpus.json", "unlink", "swap"])
def test_a_damaged_cache_is_made_anew(
    path: Path, tmp_path: Path, made: list[Path], damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = sentences(load(path, tmp_path / "cache", min_count=1))
    folder = made[0].with_suffix("")
    if damage == "unlink":
        (folder / "corpus.json").unlink()
    elif damage == "swap":
        np.save(folder / "starts.npy", np.array([0, 1]))
    else:
        (folder / damage).write_bytes((folder / damage).read_bytes()[:-3])
    assert sentences(load(path, tmp_path / "cache", min_count=1)) == wanted
    assert len(made) == 2
    assert f"{folder}: the cached corpus is damaged and is made anew" in caplog.messages


def test_what_a_kill_leaves_is_not_taken_for_a_corpus(path: Path, tmp_path: Path, made: list[Path]) -> None:
    wanted = sentences(load(path, tmp_path / "cache", min_count=1))
    made[0].with_suffix("").rename(made[0])  # all files are there, but the folder has not got its name
    np.save(made[0] / "ids.npy", np.zeros(3, dtype=np.int32))
    (made[0] / "numbers.npy").write_bytes(b"half")
    assert sentences(load(path, tmp_path / "cache", min_count=1)) == wanted
    assert len(made) == 2 and not made[0].exists()


def test_an_interrupt_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(text: str) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setitem(word_tokenizers._REGISTRY, "interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(path, tmp_path / "cache", tokenizer="interrupted")
    assert [entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir()] == []


def test_processes_wait_for_the_one_that_makes_it(path: Path, tmp_path: Path, made: list[Path]) -> None:
    found: list[WordCorpus] = []
    work = [
        threading.Thread(target=lambda: found.append(load(path, tmp_path / "cache", min_count=1))) for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(found) == 4 and len(made) == 1
