"""Scores, gradients and losses of knowledge graph embeddings against formulas that make every [B, P, D] tensor."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from hf_contrastive.errors import RecipeError
from hf_contrastive.models import KnowledgeGraphConfig, KnowledgeGraphModel, kg_scores, knowledge_graph
from hf_contrastive.models.kg_regularizers import l2, n3
from hf_contrastive.objectives import NCE, FullSoftmax, InfoNCE, NegativeSampling, Triplet

E, R, D = 9, 3, 6
KINDS = [
    ("transe", 1),
    ("transe", 2),
    ("transd", 1),
    ("transd", 2),
    ("distmult", None),
    ("complex", None),
    ("rotate", 1),
    ("rotate", 2),
]
every_kind = pytest.mark.parametrize("interaction, norm", KINDS)
every_interaction = pytest.mark.parametrize("interaction", ["transe", "transd", "distmult", "complex", "rotate"])


def make(interaction: str, norm: int | None = None, **options) -> KnowledgeGraphModel:
    torch.manual_seed(0)
    config = KnowledgeGraphConfig(E, R, interaction, D, norm, **{"initial_range": 0.7} | options)
    return KnowledgeGraphModel(config).double()


def complex_rows(rows: Tensor) -> Tensor:
    return torch.complex(*rows.chunk(2, -1))


def reference(model: KnowledgeGraphModel, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
    """Scores of triples, ids of one shape, by the papers' formulas."""
    norm, interaction = model.interaction.norm, model.config.interaction
    h, r, t = model.entity_embeddings[heads], model.relation_embeddings[relations], model.entity_embeddings[tails]
    if interaction == "distmult":
        return torch.einsum("...d,...d,...d->...", h, r, t)
    if interaction == "complex":
        return (complex_rows(h) * complex_rows(r) * complex_rows(t).conj()).real.sum(-1)
    if interaction == "rotate":
        moduli = (complex_rows(h) * torch.polar(torch.ones_like(r), r) - complex_rows(t)).abs()
        return -moduli.sum(-1) if norm == 1 else -moduli.square().sum(-1).sqrt()
    if interaction == "transd":
        r_p = model.relation_projections[relations]
        identity = torch.eye(D, dtype=h.dtype)
        projected = []
        for vector, ids in ((h, heads), (t, tails)):
            matrix = identity + r_p.unsqueeze(-1) * model.entity_projections[ids].unsqueeze(-2)
            moved = (matrix @ vector.unsqueeze(-1)).squeeze(-1)
            length = moved.norm(dim=-1, keepdim=True)
            projected.append(torch.where(length > 1, moved / length, moved))
        h, t = projected
    difference = h + r - t
    if norm == 1:
        return -difference.abs().sum(-1)
    squares = difference.square().sum(-1)
    return -squares if interaction == "transd" else -squares.sqrt()


def batch(size: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    heads, relations, tails = (torch.randint(n, (size,), generator=generator) for n in (E, R, E))
    return heads, relations, (tails + (tails == heads)) % E


POOLS = {"shared": torch.tensor([0, 3, 3, 8]), "own": torch.arange(15).view(5, 3) % E, "all": None}


def gradients(model: KnowledgeGraphModel, scores: Tensor) -> list[Tensor]:
    """Of a random weighted sum of the scores, for every table."""
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(2), dtype=scores.dtype)
    found = torch.autograd.grad((weights * scores).sum(), list(model.parameters()))
    return [grad.to_dense() for grad in found]


# --- scores ---


@every_kind
def test_scores_and_gradients_of_triples_are_the_formulas(interaction: str, norm: int | None) -> None:
    model = make(interaction, norm)
    expected, found = reference(model, *batch()), model(*batch())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(model, found), gradients(model, expected), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("cells", [1 << 20, 1, 2 * 4 * D])
@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("pool", POOLS)
@every_kind
def test_scores_and_gradients_of_candidates_are_the_formulas(
    interaction: str, norm: int | None, pool: str, side: str, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kg_scores, "_CELLS", cells)
    model, candidates = make(interaction, norm), POOLS[pool]
    heads, relations, tails = batch()
    every = torch.arange(E) if candidates is None else candidates
    every = every.expand(5, -1)
    if side == "tail":
        found = model.score_tails(heads, relations, candidates)
        expected = reference(
            model, heads.unsqueeze(1).expand_as(every), relations.unsqueeze(1).expand_as(every), every
        )
    else:
        found = model.score_heads(relations, tails, candidates)
        expected = reference(
            model, every, relations.unsqueeze(1).expand_as(every), tails.unsqueeze(1).expand_as(every)
        )
    assert found.shape == every.shape
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(model, found), gradients(model, expected), rtol=1e-9, atol=1e-11)


def test_both_sides_of_transds_cut_are_tried() -> None:
    model = make("transd")
    e, r_p = model.entity_embeddings, model.relation_projections
    lengths = (e + (e * model.entity_projections).sum(1, keepdim=True) * r_p.unsqueeze(1)).norm(dim=-1)
    assert (lengths < 0.98).sum() > 3 and (lengths > 1.02).sum() > 3


@pytest.mark.parametrize("side", ["head", "tail", 2])
@every_kind
def test_a_batch_is_looked_up_once_and_scored_as_apart(
    interaction: str, norm: int | None, side: str | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge_graph, "DENSE_FROM", 1e9)
    model = make(interaction, norm)
    heads, relations, tails = batch()
    shared, own = POOLS["shared"], POOLS["own"]
    scores = model.score_batch(heads, relations, tails, [shared, own], side)
    torch.testing.assert_close(scores.positive, model.score(heads, relations, tails), rtol=1e-10, atol=1e-12)
    of_head = {"head": len(heads), "tail": 0}.get(side, side)
    for found, pool in zip(scores.pools, (shared, own), strict=True):
        apart = [model.score_heads(relations, tails, pool), model.score_tails(heads, relations, pool)]
        expected = torch.cat([apart[0][:of_head], apart[1][of_head:]])
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    known, filled = (torch.cat([a[:of_head], b[of_head:]]) for a, b in ((tails, heads), (heads, tails)))
    rows = [model.entity_embeddings[known], model.relation_embeddings[relations], model.entity_embeddings[filled]]
    rows = rows[::2] if interaction == "rotate" else rows
    assert all(torch.equal(*pair) for pair in zip(scores.rows, rows, strict=True))
    sum(pool.sum() for pool in scores.pools).backward()
    for name, parameter in model.named_parameters():
        looked_up = 5 if name.startswith("relation") else 5 + 5 + 4 + 15
        assert parameter.grad.is_sparse and parameter.grad._nnz() == looked_up
    few = {name: parameter.grad.to_dense() for name, parameter in model.named_parameters()}
    model.zero_grad()
    monkeypatch.setattr(knowledge_graph, "DENSE_FROM", 0.0)
    sum(pool.sum() for pool in model.score_batch(heads, relations, tails, [shared, own], side).pools).backward()
    assert not model.entity_embeddings.grad.is_sparse
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad.to_dense(), few[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("interaction, norm", [("transe", 1), ("transe", 2), ("rotate", 1), ("rotate", 2)])
def test_a_point_has_no_distance_from_itself_and_no_gradient(interaction: str, norm: int) -> None:
    model = make(interaction, norm).float()
    with torch.no_grad():
        model.relation_embeddings.zero_()
    heads, relations = torch.arange(E), torch.zeros(E, dtype=torch.long)
    for scores in (model.score(heads, relations, heads), model.score_tails(heads, relations).diag()):
        assert scores.abs().max() < 1e-15
        model.zero_grad()
        scores.sum().backward()
        assert all((p.grad.to_dense() == 0).all() for p in model.parameters())


@pytest.mark.parametrize("interaction", ["transe", "transd", "rotate"])
def test_rounding_of_squares_does_not_blow_up_gradients(interaction: str) -> None:
    """Points far from zero and close together: |q|^2 + |e|^2 - 2 q . e has few digits left."""
    torch.manual_seed(0)
    model = make(interaction, 2).float()
    with torch.no_grad():
        model.entity_embeddings.copy_(3 + 1e-4 * torch.randn(E, D))
        model.relation_embeddings.mul_(1e-5)
    heads, relations = torch.arange(E), torch.arange(E) % R
    scores = model.score_tails(heads, relations)
    expected = reference(model.double(), heads.unsqueeze(1), relations.unsqueeze(1), heads.expand(E, E))
    assert (scores - expected).abs().max() < 1e-2 and scores.isfinite().all()
    model.float()
    torch.autograd.backward(model.score_tails(heads, relations).sum())
    assert model.entity_embeddings.grad.abs().max() <= 2 * E * 1.01  # a distance has a slope of 1


@every_kind
def test_scores_are_exact_under_autocast(interaction: str, norm: int | None) -> None:
    model = make(interaction, norm).float()
    heads, relations, tails = batch()

    def scores() -> list[Tensor]:
        several = model.score_batch(heads, relations, tails, list(POOLS.values())[:2], "head")
        queries = model.queries(heads, relations, "tail")
        return [model.score_tails(heads, relations), several.positive, *several.pools, queries]

    with torch.autocast("cpu", torch.bfloat16):
        under = scores()
    assert all(torch.equal(*pair) for pair in zip(under, scores(), strict=True))


@pytest.mark.parametrize("side", ["head", "tail"])
@every_kind
def test_anchors_are_compared_with_rows(interaction: str, norm: int | None, side: str) -> None:
    model = make(interaction, norm)
    heads, relations, tails = batch()
    anchors = model.anchors(heads if side == "tail" else tails, relations, side)
    assert anchors.shape == (5, D) and not anchors.requires_grad
    assert model.queries(heads, relations, side).requires_grad
    scores = model.score_tails(heads, relations) if side == "tail" else model.score_heads(relations, tails)
    rows = model.entity_embeddings.detach()
    if interaction in ("distmult", "complex"):
        expected = anchors @ rows.T
    elif interaction == "transd":
        projected = rows + (rows * model.entity_projections).sum(1, keepdim=True) * model.relation_projections[
            relations
        ].unsqueeze(1)
        projected = projected / projected.norm(dim=-1, keepdim=True).clamp(min=1)
        expected = -((anchors.unsqueeze(1) - projected).norm(norm, dim=-1) ** norm)
    else:
        differences = anchors.unsqueeze(1) - rows
        if (interaction, norm) == ("rotate", 1):
            differences = complex_rows(differences).abs()
        expected = -differences.norm(norm, dim=-1)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-12)


def test_reciprocal_relations_have_rows_of_their_own() -> None:
    model = make("complex", reciprocal=True)
    assert model.relation_embeddings.shape == (2 * R, D) and model.config.num_relations == R
    heads, relations, tails = batch()
    found = model.score_tails(tails, relations + R)
    expected = reference(model, tails.unsqueeze(1), (relations + R).unsqueeze(1), torch.arange(E).expand(5, E))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


# --- losses on these scores ---


@pytest.mark.parametrize(
    "objective", [InfoNCE(), NegativeSampling(margin=2.0), NegativeSampling(), Triplet(margin=1.0)]
)
@every_kind
def test_objectives_may_overwrite_scores(interaction: str, norm: int | None, objective) -> None:
    model = make(interaction, norm)
    found = []
    for copy in (False, True):
        scores = model.score_batch(*batch(), [POOLS["shared"]], "tail")
        pool = scores.pools[0].clone() if copy else scores.pools[0]
        mask = torch.arange(4) < torch.tensor([4, 3, 2, 1, 0]).unsqueeze(1)
        loss = objective.contrast(scores.positive, pool, mask)
        found.append([loss, *(g.to_dense() for g in torch.autograd.grad(loss, list(model.parameters())))])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-13)


@every_kind
def test_infonce_over_all_entities_is_one_vs_all(interaction: str, norm: int | None) -> None:
    model = make(interaction, norm)
    heads, relations, tails = batch()
    expected = cross_entropy(reference_of_all(model, heads, relations), tails)
    scores = model.score_batch(heads, relations, tails, [torch.arange(E)], "tail")
    others = torch.arange(E) != tails.unsqueeze(1)
    found = InfoNCE().contrast(scores.positive, scores.pools[0], others)
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    parameters = list(model.parameters())
    torch.testing.assert_close(
        [g.to_dense() for g in torch.autograd.grad(found, parameters)],
        list(torch.autograd.grad(expected, parameters, retain_graph=True)),
        rtol=1e-9,
        atol=1e-11,
    )
    if interaction in ("distmult", "complex"):
        queries = model.queries(heads, relations, "tail")
        positive, one = scores.positive.unsqueeze(1), torch.ones(5, 1, dtype=torch.bool)
        found = FullSoftmax()(queries, model.entity_embeddings, positive, one)
        assert found.item() == pytest.approx(expected.item(), rel=1e-10)


def reference_of_all(model: KnowledgeGraphModel, heads: Tensor, relations: Tensor) -> Tensor:
    return reference(
        model, *(x.unsqueeze(1).expand(-1, E) for x in (heads, relations)), torch.arange(E).expand(len(heads), E)
    )


def test_a_margin_is_added_to_every_score() -> None:
    """RotatE's loss, written from its formula, self-adversarial weights included."""
    torch.manual_seed(0)
    gamma, alpha, distances = 3.0, 0.5, 6 * torch.rand(4, 6, dtype=torch.float64)
    positive, negative = distances[:, 0], distances[:, 1:]
    weights = (-alpha * negative).softmax(1)
    total = 0.0
    for i in range(4):
        total -= math.log(1 / (1 + math.exp(positive[i] - gamma)))
        total -= sum(weights[i, j] * math.log(1 / (1 + math.exp(gamma - negative[i, j]))) for j in range(5))
    objective = NegativeSampling(margin=gamma)
    assert objective.contrast(-positive, -negative, None, weights).item() == pytest.approx(float(total) / 4)
    alone = objective.per_negative(-positive, -negative)
    torch.testing.assert_close(alone, -torch.sigmoid(negative - gamma).log())
    pairs = torch.ones(4, 1, dtype=torch.bool)
    several = objective.contrast(-positive.unsqueeze(1), -negative, None, weights, pairs=pairs)
    assert several.item() == pytest.approx(float(total) / 4)
    log_q = torch.tensor(0.1).log()
    shifted = NCE().contrast(gamma - positive, gamma - negative, None, None, log_q, log_q.expand(4))
    assert NCE(margin=gamma).contrast(-positive, -negative, None, None, log_q, log_q.expand(4)) == shifted


@pytest.mark.parametrize("is_complex", [True, False])
def test_penalties_are_sums_over_the_rows_of_a_batch(is_complex: bool) -> None:
    torch.manual_seed(0)
    rows = [torch.randn(4, 6, dtype=torch.float64) for _ in range(3)]
    squares = cubes = 0.0
    for row in torch.stack(rows).flatten(0, 1).tolist():
        numbers = [complex(a, b) for a, b in zip(row[:3], row[3:], strict=True)] if is_complex else row
        squares += sum(abs(x) ** 2 for x in numbers)
        cubes += sum(abs(x) ** 3 for x in numbers)
    assert l2(rows, is_complex).item() == pytest.approx(squares / 4)
    assert n3(rows, is_complex).item() == pytest.approx(cubes / 4)
    zero = torch.zeros(2, 4, requires_grad=True)
    (l2([zero], is_complex) + n3([zero], is_complex)).backward()
    assert (zero.grad == 0).all()


# --- tables ---


@pytest.mark.parametrize(
    "interaction, norm, entities",
    [
        ("transe", None, 6 / math.sqrt(20)),
        ("transd", None, 6 / math.sqrt(20)),
        ("distmult", None, 0.28),
        ("complex", None, 0.28),
        ("rotate", 2, 6 / math.sqrt(20)),
        ("rotate", 1, 1.1),
    ],
)
def test_initial_values(interaction: str, norm: int | None, entities: float) -> None:
    torch.manual_seed(0)
    for given, scale in ((None, entities), (0.05, 0.05)):
        config = KnowledgeGraphConfig(500, 100, interaction, 20, norm, initial_range=given)
        model = KnowledgeGraphModel(config)
        assert 0.98 * scale < model.entity_embeddings.abs().max() <= scale
        assert model.entity_embeddings.std().item() == pytest.approx(scale / math.sqrt(3), rel=0.02)
        relations = model.relation_embeddings
        if interaction == "rotate":
            assert relations.shape == (100, 10) and 0.98 * math.pi < relations.abs().max() <= math.pi
        elif interaction in ("transe", "transd"):
            torch.testing.assert_close(relations.norm(dim=1), torch.ones(100))
        else:
            assert 0.98 * scale < relations.abs().max() <= scale
        if interaction == "transd":
            for table in (model.entity_projections, model.relation_projections):
                assert table.std().item() == pytest.approx(1 / math.sqrt(20), rel=0.05)


@pytest.mark.parametrize("interaction", ["transe", "distmult", "transd"])
def test_lengths_are_put_back_where_asked(interaction: str) -> None:
    model = make(interaction, constrained=True)

    def right(table: Tensor) -> bool:
        lengths = table.norm(dim=1)
        return bool((lengths <= 1 + 1e-6).all()) and (interaction == "transd" or bool((lengths >= 1 - 1e-6).all()))

    assert right(model.entity_embeddings)
    with torch.no_grad():
        for table in (model.entity_embeddings, model.relation_embeddings):
            table.copy_(3 * normalize(torch.randn_like(table), dim=1))
            table[:2] /= 5
    before = [table.detach().clone() for table in (model.entity_embeddings, model.relation_embeddings)]
    some = torch.tensor([4, 1])
    model.renormalize_(some, some[1:])
    assert right(model.entity_embeddings[some])
    rest = [row for row in range(E) if row not in some]
    assert torch.equal(model.entity_embeddings[rest], before[0][rest])
    assert torch.equal(model.relation_embeddings[2], before[1][2])
    model.renormalize_()
    assert right(model.entity_embeddings)
    cosines = (normalize(before[0], dim=1) * normalize(model.entity_embeddings, dim=1)).sum(1)
    torch.testing.assert_close(cosines, torch.ones_like(cosines))
    if interaction == "transd":
        assert right(model.relation_embeddings) and torch.equal(model.relation_embeddings[1], before[1][1])
        assert torch.equal(model.entity_embeddings[0], before[0][0])  # shorter than 1: left as it is
    else:
        assert torch.equal(model.relation_embeddings, before[1])
    free = make(interaction)
    before = free.entity_embeddings.detach().clone()
    free.renormalize_()
    assert torch.equal(free.entity_embeddings, before)


@every_kind
def test_a_saved_model_is_the_same(tmp_path: Path, interaction: str, norm: int | None) -> None:
    constrained = interaction in ("transe", "transd", "distmult")
    model = make(interaction, norm, reciprocal=True, constrained=constrained).float()
    with torch.no_grad():
        for table in model.parameters():
            table.mul_(2.5)  # neither as initialised nor as constrained
    model.save_pretrained(tmp_path)
    again = KnowledgeGraphModel.from_pretrained(tmp_path)
    assert again.config.interaction == interaction and again.interaction.norm == model.interaction.norm
    assert again.config.constrained == constrained and again.config.reciprocal
    for (name, table), (other, copy) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert name == other and torch.equal(table, copy)
    assert torch.equal(model(*batch()), again(*batch()))


def test_usual_norms() -> None:
    norms = {kind: make(kind).interaction.norm for kind in kg_scores.INTERACTIONS}
    assert norms == {"transe": 1, "transd": 2, "distmult": None, "complex": None, "rotate": 2}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"interaction": "transh"}, "interaction: unknown interaction 'transh'; choose one of .*'transd'"),
        ({"interaction": "transe", "norm": 3}, "norm: transe cannot have norm 3; choose 1 or 2"),
        ({"interaction": "complex", "norm": 2}, "norm: complex cannot have norm 2; leave it out"),
        ({"interaction": "rotate", "dimension": 5}, "dimension: must be even, half of it imaginary parts for rotate"),
        ({"interaction": "transe", "dimension": 0}, "dimension: must be positive for transe, got 0"),
        ({"interaction": "rotate", "constrained": True}, "constrained: rotate has no constraint"),
        ({"initial_range": 0.0}, "initial_range: must be greater than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        KnowledgeGraphConfig(E, R, **options)


@every_interaction
def test_an_interaction_refuses_a_norm_it_does_not_have(interaction: str) -> None:
    with pytest.raises(ValueError, match="must be .*, got 3"):
        kg_scores.INTERACTIONS[interaction](3)
