"""Which files are published, replaced and removed, and what they hold."""

import re
from pathlib import Path

from hub_double import Hub
from test_publish import MODEL

from hf_contrastive.hub import publish


def test_what_others_added_stays_and_what_would_not_fit_the_weights_goes(here: Hub, final: Path) -> None:
    publish(final, "tester/mine")
    repo = here.repos["tester/mine"]
    theirs = [
        ".eval_results/theirs.yaml",
        "chat_template.jinja",
        "training_curve.png",
        "onnx/model_O4.onnx",
        "LICENSE",
    ]
    stale = ["2_Dense/config.json", "2_Dense/model.safetensors", "model-00001-of-00002.safetensors", "onnx/model.onnx"]
    stale += ["model.safetensors.index.json", "vocab.txt", "adapter_config.json", "concepts.txt"]
    there = {name: name.encode() for name in (*theirs, *stale)}
    repo.commit("main", "by hand", {**here.files("tester/mine"), **there}, repo.at("main").lfs)
    (final / "training_curve.png").unlink(missing_ok=True)
    card = (final / "README.md").read_text(encoding="utf-8")
    (final / "README.md").write_text(re.sub(r"!\[.*\)\n", "", card), encoding="utf-8")
    assert publish(final, "tester/mine").removed == tuple(sorted(stale))
    files = here.files("tester/mine")
    assert sorted(files) == sorted([*MODEL, *theirs])
    assert all(files[name] == name.encode() for name in theirs)
