"""The demo's page: what its tabs show, and that the folder is a whole Space."""

import math
import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from helpers import tiny_bert, tiny_tokenizer

from hf_contrastive import Context, Negatives, NegativeSampler, SentenceEncoder, register, usable
from hf_contrastive.errors import DataError, RecipeError
from hf_contrastive.negatives import registry

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "examples" / "space"
sys.path.insert(0, str(SPACE))

import views  # noqa: E402

SENTENCE = "a man plays guitar"
POOL = ["a woman reads", "two dogs run", "a man plays guitar", "nobody sings", "a big red train"]


@pytest.fixture(scope="module")
def vectors() -> views.Vectors:
    torch.manual_seed(0)
    return views.Vectors(SentenceEncoder(tiny_bert(), tiny_tokenizer()))


def cosines(vectors: views.Vectors, first: list[str], second: list[str]) -> list[list[float]]:
    encode = vectors.encoder.encode
    return torch.cosine_similarity(encode(first).unsqueeze(1), encode(second).unsqueeze(0), dim=-1).tolist()


def shares(vectors: views.Vectors, line: str) -> tuple[dict[str, float], int]:
    found, draws = views.propose(vectors, line, SENTENCE, POOL)
    assert [each.share for each in found] == sorted((each.share for each in found), reverse=True)
    assert {each.sentence: each.cosine for each in found} == pytest.approx(
        dict(zip(POOL, cosines(vectors, [SENTENCE], POOL)[0], strict=True)), abs=1e-5
    )
    return {each.sentence: each.share for each in found}, draws


def test_sentences_are_lines_of_the_box_and_rows_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "more.tsv"
    file.write_text("id\ttext\n1\tof a file\n", encoding="utf-8")
    assert views.read_sentences("  one \n\n two\n", str(file)) == ["one", "two", "of a file"]
    with pytest.raises(DataError, match="no sentences: write some"):
        views.read_sentences(" \n")
    for given in (("a\nb\nc", None), ("a\nb", str(file))):
        with pytest.raises(DataError, match="more than the 2 sentences shown here; .*hf-contrastive search"):
            views.read_sentences(*given, most=2)
    file.write_text("id\tbody\n1\tof a file\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"more.tsv: columns id, body; call the one that holds the sentences text"):
        views.read_sentences("", str(file))
    file.with_suffix(".jsonl").write_text('{"body": "the only column"}\n{"body": " "}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"more.jsonl, line 2.*body"):
        views.read_sentences("", str(file.with_suffix(".jsonl")))
    with pytest.raises(DataError, match="no sentence: type one"):
        views.one_sentence(" ")


def test_nearest_sentences_each_once(vectors: views.Vectors) -> None:
    expected = dict(zip(POOL, cosines(vectors, [SENTENCE], POOL)[0], strict=True))
    found = views.nearest(vectors, SENTENCE, [*POOL, *POOL], 3)
    assert [text for text, _ in found] == sorted(expected, key=lambda text: -expected[text])[:3]
    assert [score for _, score in found] == pytest.approx([expected[text] for text, _ in found], abs=1e-5)
    assert found[0][0] == SENTENCE and len(views.nearest(vectors, "dog", POOL, 50)) == len(POOL)


def test_matrix_has_every_cosine_and_no_markup_of_the_sentences(vectors: views.Vectors) -> None:
    typed = ["<b>dogs</b> & cats", *POOL]
    table = views.matrix_table(vectors, typed)
    cells = [float(cell) for cell in re.findall(r"<td[^>]*>(-?[\d.]+)</td>", table)]
    assert cells == pytest.approx([cell for row in cosines(vectors, typed, typed) for cell in row], abs=0.0051)
    assert "&lt;b&gt;dogs&lt;/b&gt; &amp; cats" in table and "<b>" not in table


def test_in_batch_counts_all_alike_but_the_sentence_itself(vectors: views.Vectors) -> None:
    found, draws = shares(vectors, "in_batch")
    assert draws == 0 and found == pytest.approx({text: 0.25 * (text != SENTENCE) for text in POOL})


def test_adversarial_shares_are_its_softmax_over_the_pool(vectors: views.Vectors) -> None:
    found, draws = shares(vectors, "{name: adversarial, temperature: 0.1}")
    scores = {text: math.exp(10 * cosines(vectors, [SENTENCE], [text])[0][0]) for text in POOL if text != SENTENCE}
    total = sum(scores.values())
    assert draws == 0 and found[SENTENCE] == 0
    assert {text: found[text] for text in scores} == pytest.approx(
        {text: score / total for text, score in scores.items()}, rel=1e-3
    )


def test_draws_are_counted(vectors: views.Vectors) -> None:
    found, draws = shares(vectors, "{name: uniform, k: 16}")
    assert draws == pytest.approx(0.8 * 16 * views.ASKS, rel=0.1)  # a fifth of them hits the sentence itself
    assert found == pytest.approx({text: 0.25 * (text != SENTENCE) for text in POOL}, abs=0.04)
    exact, _ = shares(vectors, "{name: adversarial, temperature: 0.1}")
    drawn, draws = shares(vectors, "{name: adversarial, temperature: 0.1, estimator: reinforce, k: 16}")
    assert draws > 0 and drawn == pytest.approx(exact, abs=0.05)


def test_a_mixture_is_halfway_between_its_parts(vectors: views.Vectors) -> None:
    found, _ = shares(vectors, "{name: mixture, parts: [in_batch, {name: self_adversarial, part: queue, alpha: 10}]}")
    plain, _ = shares(vectors, "in_batch")
    weighted, _ = shares(vectors, "{name: self_adversarial, part: queue, alpha: 10}")
    assert found == pytest.approx({text: (plain[text] + weighted[text]) / 2 for text in POOL}, abs=1e-4)


@pytest.mark.parametrize("line", views.CHOICES)
def test_every_choice_proposes(vectors: views.Vectors, line: str) -> None:
    found, _ = shares(vectors, line)
    assert sum(found.values()) == pytest.approx(1, abs=1e-4) or "guide_margin" in line
    assert found[SENTENCE] == 0


def test_nothing_is_left_where_all_are_the_sentence(vectors: views.Vectors) -> None:
    found, _ = views.propose(vectors, "queue", SENTENCE, [SENTENCE, SENTENCE])
    assert [each.share for each in found] == [0, 0]


def test_samplers_of_others_can_be_chosen_where_they_fit() -> None:
    class First(NegativeSampler):
        """The first row."""

        needs = frozenset({"bank"})

        def sample(self, context: Context, k: int | None = None) -> Negatives:
            ids = context.rows("bank")[:1]
            return Negatives(ids, usable(context, ids), "bank")

    class WithFile(First):
        def __init__(self, file: str) -> None:
            super().__init__()

    class OfHard(First):
        needs = frozenset({"hard"})

    try:
        for name, sampler in {"first": First, "with_file": WithFile, "of_hard": OfHard}.items():
            register(name)(sampler)
        assert views.choices() == [*views.CHOICES, "first"]
    finally:
        for name in ("first", "with_file", "of_hard"):
            registry._REGISTRY.pop(name, None)
    assert views.choices() == list(views.CHOICES)


def test_what_the_user_can_mend_is_a_message_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    gradio = pytest.importorskip("gradio")
    import app

    def refuse(*_: object) -> None:
        raise RecipeError("key: what is wrong")

    said: list[str] = []
    monkeypatch.setattr(gradio, "Warning", lambda message, **_: said.append(message))
    app.saying_errors(refuse)("anything")
    assert said == ["key: what is wrong"]


def test_without_a_model_it_says_where_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gradio")
    import app

    monkeypatch.delenv(app.MODEL, raising=False)
    with pytest.raises(SystemExit):
        app.main([])
    assert "give --model, or set HF_CONTRASTIVE_MODEL" in capsys.readouterr().err


def test_the_folder_is_a_whole_space() -> None:
    front = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert front["sdk"] == "gradio" and f"gradio=={front['sdk_version']}" in pins
    assert (SPACE / front["app_file"]).is_file() and f">={front['python_version']}" == project["requires-python"]
    lines = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        *project["dependencies"],
        *project["optional-dependencies"]["peft"],
    ]
