"""The sampler of docs/add-a-sampler.md works as it is printed there."""

import re
from pathlib import Path

from runs import make_run

from hf_contrastive.negatives import registered, registry
from hf_contrastive.recipe import load_recipe
from hf_contrastive.train import train

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-sampler.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0]


def test_the_printed_sampler_trains_from_the_printed_recipe(tmp_path: Path) -> None:
    source = block("python")
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 20
    try:
        exec(compile(source, "docs/add-a-sampler.md", "exec"), {})
        assert "nearest" in registered()
        run = make_run(tmp_path / "run", max_steps=6, eval_steps=3, save_steps=3, bank_size=64)
        with (run / "recipe.yaml").open("a", encoding="utf-8") as recipe:
            recipe.write(block("yaml"))
        text = (run / "recipe.yaml").read_text(encoding="utf-8").replace("negatives: in_batch\n", "")
        (run / "recipe.yaml").write_text(text, encoding="utf-8")
        results = train(load_recipe(run / "recipe.yaml"))
    finally:
        registry._REGISTRY.pop("nearest", None)
    assert results["steps"] == 6 and "nearest" in str(results["recipe"]["negatives"])
