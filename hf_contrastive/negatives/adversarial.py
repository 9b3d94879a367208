"""Adversarial negatives (Adversarial Contrastive Estimation: Bose, Ling and Cao, ACL 2018).

A generator g(j | i) over a pool of candidates is trained to propose the negatives the encoder does worst on:

    min_encoder max_g  E_{j ~ g(. | i)} [ loss of anchor i against negative j ]

Over a pool the expectation is a sum, differentiable in g: the estimator `exact`, without sampling variance. The
paper's own is `reinforce`: K draws an anchor and a baseline. The encoder never sees the generator's gradient, nor the
generator the encoder's.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hf_contrastive.negatives.generator import PoolGenerator, entropy, without
from hf_contrastive.negatives.protocol import Context, Negatives, NegativeSampler, usable
from hf_contrastive.negatives.registry import register

ESTIMATORS = ("exact", "reinforce")
BASELINES = ("self_critical", "leave_one_out", "none")
FALSE_NEGATIVES = ("mask", "keep")


@dataclass
class _Proposal:
    """What `feedback` needs: the graph of g, and which columns are draws of it."""

    log_g: Tensor  # [B, P] over the pool
    context: Context
    pool: Tensor  # [P] or [B, P], rows of the table
    valid: Tensor  # [P] or [B, P], rows of the pool that are there
    logits: Tensor  # [B, P], of the softmax over the pool
    log_share: Tensor  # broadcastable to [B, P], log of how often each row was expected in the pool
    drawn: Tensor | None = None  # of reinforce: [B, K], columns of the pool; behind them the likeliest, a random one
    usable: Tensor | None = None  # of reinforce: [B, K + 2], which of all columns are no false negatives

    @property
    def draws(self) -> int | None:
        """K of reinforce."""
        return None if self.drawn is None else self.drawn.shape[1]


@register("adversarial")
class AdversarialNegatives(NegativeSampler):
    """A learned generator proposes the hardest negatives of the bank (ACE).

    False negatives (duplicates, known pairs, and what a `filtered` around this sampler finds) have weight 0 for the
    encoder; for the generator they are a reward of minus `penalty`, without which it collapses onto them.

    Args:
        width: D, size of the vectors; filled in from the encoder where a recipe leaves it out.
        k: negatives an anchor: the draws of `reinforce`, the total weight of the pool under `exact`.
        estimator: `exact`, the expectation over the pool, or `reinforce`.
        pool_size: candidates the generator chooses from, drawn uniformly from the bank each step; default: all of it.
        part: another sampler whose proposals are the candidates instead, one pool for all or each anchor its own.
        noise: share of the weight that is spread evenly over the pool (exact): over a pool that `part` has drawn from
            noise, the paper's lambda, without a second pool.
        fresh: rows to encode anew in a step, with gradient: the likeliest ones (exact), the first draws (reinforce).
        baseline: of reinforce: `self_critical` (the reward of the likeliest candidate), `leave_one_out` (the mean
            reward of the anchor's other draws) or `none`.
        false_negatives: `mask`, or `keep` to use and reward them like any other (an ablation).
        penalty: minus the reward of a false negative; far above the rewards it drives g away from all that is near.
        min_choices: the entropy of g is pushed above log(min_choices).
        entropy_weight: of the regulariser max(0, log(min_choices) - H); 0 turns it off.
        off_policy: inside a mixture learn from the noise part's draws too, weighted by g / q (reinforce).
        hidden: size of the generator's projections.
        temperature: of the generator's softmax.
        warm_start: begin with a generator that prefers what is similar, and learn the rest; else begin uniform.
        learning_rate: of the generator.
        max_grad_norm: the generator's own clipping; 0 turns it off.
        update_every: optimizer steps from one update of the generator to the next.
        mask_duplicates: count candidates whose text equals the anchor's or its positive's as false negatives.
        seed: of the generator's initial values.
    """

    needs = frozenset({"bank"})

    def __init__(
        self,
        width: int,
        k: int = 16,
        estimator: str = "exact",
        pool_size: int | None = None,
        part: NegativeSampler | None = None,
        noise: float = 0.0,
        fresh: int = 0,
        baseline: str = "self_critical",
        false_negatives: str = "mask",
        penalty: float = 1.0,
        min_choices: float = 32.0,
        entropy_weight: float = 1.0,
        off_policy: bool = False,
        hidden: int = 64,
        temperature: float = 0.1,
        warm_start: bool = True,
        learning_rate: float = 1e-3,
        max_grad_norm: float = 1.0,
        update_every: int = 1,
        mask_duplicates: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("estimator", estimator, ESTIMATORS),
            ("baseline", baseline, BASELINES),
            ("false_negatives", false_negatives, FALSE_NEGATIVES),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        for name, number, least in (("k", k, 1), ("fresh", fresh, 0), ("update_every", update_every, 1)):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        if not temperature > 0 or not min_choices >= 1:
            raise ValueError("temperature must be greater than 0 and min_choices at least 1")
        if not 0 <= noise <= 1 or (noise and estimator != "exact"):
            raise ValueError(f"noise must be in [0, 1], and 0 under reinforce: a mixture has that; got {noise}")
        if part is not None and (pool_size is not None or off_policy):
            raise ValueError("part proposes the whole pool: leave pool_size and off_policy out")
        if part is not None and fresh and not part.needs <= {"bank", "counts"}:
            raise ValueError("fresh rows are of the bank: leave fresh out, or give a part that draws from it")
        if estimator == "reinforce" and baseline == "leave_one_out" and k < 2:
            raise ValueError("baseline leave_one_out needs k of at least 2")
        self.generator = PoolGenerator(width, hidden, temperature, warm_start, seed)
        self.k, self.estimator, self.pool_size, self.fresh = k, estimator, pool_size, fresh
        self.part, self.noise = part, noise
        self.needs = frozenset({"bank"}) | (part.needs if part is not None else frozenset())
        self.baseline, self.false_negatives, self.penalty = baseline, false_negatives, penalty
        self.min_choices, self.entropy_weight, self.off_policy = min_choices, entropy_weight, off_policy
        self.mask_duplicates = mask_duplicates
        self.optimizer_options = {"lr": learning_rate, "weight_decay": 0.0}
        self.max_grad_norm = max_grad_norm
        self.update_every = update_every

    def sample(self, context: Context, k: int | None = None) -> Negatives:
        """The pool [P] (exact), or [B, K + 2]: K draws, the likeliest row and a random one (reinforce).

        The last two are there for the baseline and the log; they are masked. How hard a proposal is shows beside the
        random one's reward.
        """
        pool, region, log_share, mask = self._pool(context)
        valid = context.valid[pool]
        logits = without(self.generator(context.anchors, context.vectors(pool, region)), ~valid)
        log_g = logits.log_softmax(-1)
        trace = _Proposal(log_g, context, pool, valid, logits, log_share)
        if self.estimator == "exact":
            mask = self._usable(context, pool) if mask is None else mask
            return Negatives(pool, mask, region, fresh=self._likeliest(pool, log_g.detach()), trace=trace)
        return self._draw(context, trace, k or self.k, region)

    def _likeliest(self, pool: Tensor, log_g: Tensor) -> Tensor | None:
        """The rows to encode anew: of a pool for all by their mean g, else each where an anchor gives it most."""
        if not self.fresh:
            return None
        mass = log_g.exp().mean(0) if pool.dim() == 1 else log_g.flatten()
        return pool.flatten()[mass.topk(min(self.fresh, len(mass))).indices]

    def _draw(self, context: Context, trace: _Proposal, k: int, region: str | None) -> Negatives:
        g = trace.log_g.detach().exp()
        drawn = torch.multinomial(g, k, replacement=True, generator=context.generator)
        greedy = g.argmax(1, keepdim=True)
        every = (trace.valid.float() + 1e-9).expand(g.shape)
        random = torch.multinomial(every, 1, generator=context.generator)
        column = torch.cat([drawn, greedy, random], dim=1)
        ids = trace.pool.expand(g.shape).gather(1, column)
        trace.drawn, trace.usable = drawn, self._usable(context, ids)
        mask = trace.usable.clone()
        mask[:, k:] = False
        # Two columns are never used: of the k + 2, each draw stands for a share k / (k + 2).
        unused = torch.zeros(len(g), 2, device=g.device)
        log_q = torch.cat([trace.log_g.detach().gather(1, drawn), unused], dim=1)
        # Over the bank: a row was drawn into the pool first.
        log_q = log_q + trace.log_share.expand(g.shape).gather(1, column) + math.log(k / (k + 2))
        fresh = ids[:, :k].T.flatten()[: self.fresh] if self.fresh else None
        return Negatives(ids, mask, region, log_q=log_q, fresh=fresh, trace=trace)

    def weigh(self, negatives: Negatives, context: Context) -> Tensor | None:
        """k times g, mixed with what `noise` spreads evenly, where the row is usable (exact); draws count 1 each."""
        if self.estimator == "reinforce":
            return None
        weights = negatives.trace.log_g.detach().exp()
        if self.noise:
            weights = weights.mul_(1 - self.noise).add_(self.noise / weights.shape[1])
        return weights.mul_(self.k).masked_fill_(~negatives.mask, 0.0)

    def feedback(self, negatives: Negatives, reward: Tensor) -> Tensor:
        """Minus the expected reward under g, and the entropy regulariser."""
        trace: _Proposal = negatives.trace
        loss = (self._exact if trace.drawn is None else self._reinforce)(trace, negatives.mask, reward)
        spread = entropy(trace.log_g)
        floor = (math.log(self.min_choices) - spread).clamp(min=0).mean()
        self.figures["generator_entropy"] = spread.detach().mean()
        return loss + self.entropy_weight * floor

    def _exact(self, trace: _Proposal, mask: Tensor, reward: Tensor) -> Tensor:
        """-sum_j g_j r_j; gradients of g flow through the sum itself."""
        g = trace.log_g.exp()
        reward = self._penalised(reward, mask)
        expected = (g * reward).sum(1)
        with torch.no_grad():
            self.figures = {
                "generator_reward": expected.mean(),
                "generator_false_negatives": (g * (~mask & trace.valid)).sum(1).mean(),
                "hardness": (g * reward * mask).sum() / (g * mask).sum().clamp(min=1e-9),
                "hardness_of_random": (reward * mask).sum() / mask.sum().clamp(min=1),
            }
        return -expected.mean()

    def _reinforce(self, trace: _Proposal, mask: Tensor, reward: Tensor) -> Tensor:
        """-(r - b) log g of the draws; `mask` may have been narrowed by a filter around this sampler."""
        assert trace.drawn is not None and trace.draws is not None and trace.usable is not None
        k = trace.draws
        usable_rows = torch.cat([mask[:, :k], trace.usable[:, k:]], dim=1)
        penalised = self._penalised(reward, usable_rows)
        drawn, baseline = penalised[:, :k], self._baseline(penalised, k)
        with torch.no_grad():
            true, random = usable_rows[:, :k], usable_rows[:, -1]
            self.figures = {
                "generator_reward": drawn.mean(),
                "generator_baseline": baseline.mean(),
                "generator_false_negatives": (~true).float().mean(),
                "hardness": (drawn * true).sum() / true.sum().clamp(min=1),
                "hardness_of_random": (reward[:, -1] * random).sum() / random.sum().clamp(min=1),
            }
        return -((drawn - baseline) * trace.log_g.gather(1, trace.drawn)).mean()

    def _baseline(self, reward: Tensor, k: int) -> Tensor:
        if self.baseline == "self_critical":
            return reward[:, k : k + 1]
        if self.baseline == "leave_one_out":
            drawn = reward[:, :k]
            return (drawn.sum(1, keepdim=True) - drawn) / (k - 1)
        return torch.zeros_like(reward[:, :1])

    def learn_from(self, own: Negatives, noise: Negatives, reward: Tensor) -> Tensor:
        """REINFORCE on another sampler's draws, weighted by g / q, the ratio at most 10 for its variance.

        Args:
            own: what this sampler proposed in the same step.
            noise: the other's draws, with their `log_q`.
            reward: [B, P] of those.
        """
        trace: _Proposal = own.trace
        context = trace.context
        logits = self.generator(context.anchors, context.vectors(noise.ids, noise.region))
        # The normaliser over the bank: that of the pool, over the pool's share of the bank.
        log_g = logits - trace.logits.logsumexp(-1).unsqueeze(1) + trace.log_share
        assert noise.log_q is not None
        ratio = (log_g.detach() - noise.log_q).exp().clamp(max=10.0)
        reward = self._penalised(reward, noise.mask)
        baseline = (ratio * reward).sum(1, keepdim=True) / ratio.sum(1, keepdim=True).clamp(min=1e-9)
        return -(ratio * (reward - baseline) * log_g).mean()

    def _penalised(self, reward: Tensor, usable_rows: Tensor) -> Tensor:
        return torch.where(usable_rows, reward.float(), -self.penalty)

    def _usable(self, context: Context, ids: Tensor) -> Tensor:
        return usable(context, ids, self.mask_duplicates and self.false_negatives == "mask")

    def _pool(self, context: Context) -> tuple[Tensor, str | None, Tensor, Tensor | None]:
        """Rows g chooses from, their region, the log of how often each was expected, their mask where it is known."""
        device = context.candidates.device
        if self.part is not None:
            proposed = self.part.sample(context)
            mask = proposed.mask if self.false_negatives == "mask" else None
            if proposed.log_q is None:  # there for certain
                return proposed.ids, proposed.region, torch.zeros(1, device=device), mask
            return proposed.ids, proposed.region, proposed.log_q + math.log(proposed.mask.shape[1]), mask
        span = context.regions["bank"]
        if self.pool_size is None or self.pool_size >= len(span):
            return context.rows("bank"), "bank", torch.zeros(1, device=device), None
        share = math.log(self.pool_size / len(span))
        return context.draw("bank", (self.pool_size,)), "bank", torch.full((1,), share, device=device), None
