"""What a recipe with `task: graph` or `task: hypernymy` can say."""

from dataclasses import dataclass, field

from hf_contrastive.arguments.common import ROW_RULES, SamplerArguments, TableTrainingArguments, one_of
from hf_contrastive.errors import RecipeError

INTERACTION_NAMES = ("transe", "transd", "distmult", "complex", "rotate")
SIDES = ("uniform", "bernoulli")
GRAPH_OBJECTIVES = ("softmax", "infonce", "sampled_softmax", "negative_sampling", "nce", "triplet")
ORDER_OBJECTIVES = ("order", "triplet")
REGULARIZER_NAMES = ("l2", "n3")
PROTOCOLS = ("filtered", "path_counted")


@dataclass
class GraphModelArguments:
    """What is trained on a knowledge graph."""

    interaction: str = field(default="complex", metadata={"help": f"One of {', '.join(INTERACTION_NAMES)}."})
    dimension: int = field(default=128, metadata={"help": "Real numbers an entity."})
    norm: int | None = field(default=None, metadata={"help": "Of distances, 1 or 2; default: the model's own."})
    reciprocal: bool = field(
        default=False, metadata={"help": "Predict heads as the tails of a second relation (Lacroix et al., 2018)."}
    )
    constrained: bool = field(
        default=False, metadata={"help": "Keep vectors at the length the model's authors gave them."}
    )
    initial_range: float | None = field(default=None, metadata={"help": "Entities begin uniform in [-it, it)."})

    def __post_init__(self) -> None:
        one_of("interaction", self.interaction, INTERACTION_NAMES)


@dataclass
class GraphDataArguments:
    """The triples it is trained on."""

    train_data: str = field(
        metadata={"help": "Folder with train, valid and test as .txt, .tsv or .gz (head, relation, tail); a Hub name."}
    )
    train_data_name: str | None = field(default=None, metadata={"help": "Configuration of a Hub dataset."})


@dataclass
class GraphNegativesArguments(SamplerArguments):
    """Where the negatives of triples come from."""

    negatives: str = field(
        default="{name: uniform, k: 256}",
        metadata={
            "help": "A sampler by name, a mapping {name: ..., option: ...}, or a list of them whose pools are joined. "
            "`hf-contrastive samplers` lists what is registered."
        },
    )
    corrupted_side: str = field(
        default="uniform",
        metadata={
            "help": "Which of head and tail is replaced: uniform, or bernoulli (by tails a head and heads a tail). "
            "With reciprocal relations both are."
        },
    )
    filter_known: bool = field(
        default=True, metadata={"help": "Never use a negative that is true in the training split."}
    )
    mask_positives: bool = field(default=True, metadata={"help": "Never use the triple's own entity as its negative."})

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("corrupted_side", self.corrupted_side, SIDES)


@dataclass
class GraphEvaluationArguments:
    """How link prediction is measured."""

    eval_split: str = field(default="valid", metadata={"help": "Split that is measured while it trains."})
    eval_triples: int | None = field(
        default=None, metadata={"help": "Measure only the first N of them while it trains; default: all."}
    )
    eval_batch_triples: int = field(default=256, metadata={"help": "Triples ranked at a time."})

    def __post_init__(self) -> None:
        one_of("eval_split", self.eval_split, ("valid", "test"))
        for name in ("eval_triples", "eval_batch_triples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"{name}: must be positive, got {value}")


@dataclass
class GraphTrainingArguments(TableTrainingArguments):
    """`TrainingArguments` with an objective for triples and defaults that suit it."""

    per_device_train_batch_size: int = field(default=512, metadata={"help": "Triples a step."})
    learning_rate: float = field(default=0.1, metadata={"help": "Step size of RowOptimizer."})
    lr_scheduler_type: str = field(default="constant", metadata={"help": "As in Transformers."})
    row_rule: str = field(default="adagrad", metadata={"help": f"How a row's step is scaled: {', '.join(ROW_RULES)}."})
    row_epsilon: float = field(default=1e-8, metadata={"help": "Added to the root; see RowOptimizer."})
    objective: str = field(
        default="infonce",
        metadata={"help": f"One of {', '.join(GRAPH_OBJECTIVES)}; softmax is over all entities (1-vs-all)."},
    )
    margin: float = field(
        default=0.0, metadata={"help": "Of triplet, and gamma of negative_sampling, in units of the scores."}
    )
    temperature: float = field(default=1.0, metadata={"help": "Scores are divided by it."})
    regularizer: str | None = field(default=None, metadata={"help": f"One of {', '.join(REGULARIZER_NAMES)}."})
    regularizer_weight: float = field(default=0.0, metadata={"help": "Of a triple's penalty beside its loss."})

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("objective", self.objective, GRAPH_OBJECTIVES)
        if self.regularizer is not None:
            one_of("regularizer", self.regularizer, REGULARIZER_NAMES)
        if self.regularizer_weight and self.regularizer is None:
            raise RecipeError("regularizer_weight: name the regularizer too, l2 or n3")
        if not self.regularizer_weight >= 0:
            raise RecipeError(f"regularizer_weight: must not be negative, got {self.regularizer_weight}")
        if self.margin and self.objective not in ("triplet", "negative_sampling"):
            raise RecipeError(f"margin: {self.objective} has none; leave it at 0")
        if self.objective == "triplet" and not self.margin >= 0:
            raise RecipeError(f"margin: triplet needs one that is not negative, got {self.margin}")
        if not self.temperature > 0:
            raise RecipeError(f"temperature: must be greater than 0, got {self.temperature}")


@dataclass
class OrderModelArguments:
    """What is trained on a hierarchy."""

    dimension: int = field(default=50, metadata={"help": "Numbers a concept."})

    def __post_init__(self) -> None:
        if self.dimension < 1:
            raise RecipeError(f"dimension: must be positive, got {self.dimension}")


@dataclass
class OrderDataArguments:
    """The pairs it is trained on."""

    train_data: str = field(
        metadata={"help": "Folder with hypernyms_closure.tsv and synset_names.txt; or a file of child, ancestor."}
    )
    protocol: str = field(
        default="filtered",
        metadata={"help": "filtered, or path_counted (as published: held-out pairs leak into training)."},
    )
    close: bool = field(default=False, metadata={"help": "Take the transitive closure of the pairs first."})
    split_seed: int = field(default=0, metadata={"help": "Seed of what is held out and of its negatives."})
    dev_pairs: int = field(default=4000, metadata={"help": "Pairs held out to choose a threshold on."})
    test_pairs: int = field(default=4000, metadata={"help": "Pairs held out to report."})

    def __post_init__(self) -> None:
        one_of("protocol", self.protocol, PROTOCOLS)


@dataclass
class OrderTrainingArguments(TableTrainingArguments):
    """`TrainingArguments` with an objective for orders and defaults that suit it."""

    per_device_train_batch_size: int = field(default=1024, metadata={"help": "Pairs a step."})
    learning_rate: float = field(default=0.03, metadata={"help": "Step size of RowOptimizer."})
    row_rule: str = field(default="adam", metadata={"help": f"How a row's step is scaled: {', '.join(ROW_RULES)}."})
    row_epsilon: float = field(default=1e-8, metadata={"help": "Added to the root; see RowOptimizer."})
    num_train_epochs: float = field(default=12, metadata={"help": "Passes over the pairs."})
    objective: str = field(default="order", metadata={"help": f"One of {', '.join(ORDER_OBJECTIVES)}."})
    margin: float = field(default=1.0, metadata={"help": "Violation at which a negative counts no more."})

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("objective", self.objective, ORDER_OBJECTIVES)
        if not self.margin >= 0:
            raise RecipeError(f"margin: must not be negative, got {self.margin}")
