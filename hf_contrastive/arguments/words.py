"""What a recipe with `task: words` can say."""

from dataclasses import dataclass, field, replace

from hf_contrastive.arguments.common import SamplerArguments, TableTrainingArguments, one_of
from hf_contrastive.errors import RecipeError

ARCHITECTURES = ("skip_gram", "cbow")
WORD_OBJECTIVES = ("softmax", "hierarchical_softmax", "negative_sampling", "nce", "sampled_softmax")
BLOCK = 16  # neighbouring words that share a product; smaller wastes less of it, larger makes fewer
WITHOUT_NEGATIVES = ("softmax", "hierarchical_softmax")
# Where a recipe names no sampler; what corrects draws by their probability lets none stand for others.
DRAWS = "{name: unigram, k: 128}"
DRAWS_FOR_FIVE = "{name: unigram, k: 128, stands_for: 5}"
OOV_POLICIES = ("skip", "zero")


@dataclass
class WordModelArguments:
    """What is trained."""

    architecture: str = field(default="skip_gram", metadata={"help": f"One of {', '.join(ARCHITECTURES)}."})
    dimension: int = field(default=100, metadata={"help": "Numbers a word."})

    def __post_init__(self) -> None:
        one_of("architecture", self.architecture, ARCHITECTURES)
        if self.dimension < 1:
            raise RecipeError(f"dimension: must be positive, got {self.dimension}")


@dataclass
class WordDataArguments:
    """What it is trained on."""

    train_data: str = field(
        metadata={"help": "Text files (.txt, .gz; a sentence a line), a glob, a folder, a comma list, or a Hub name."}
    )
    train_data_name: str | None = field(default=None, metadata={"help": "Configuration of a Hub dataset."})
    train_split: str = field(default="train", metadata={"help": "Split of a Hub dataset."})
    max_train_rows: int | None = field(default=None, metadata={"help": "Use only the first N lines."})
    tokenizer: str = field(default="text8", metadata={"help": "How text becomes words: text8, words, whitespace."})
    min_count: int = field(default=5, metadata={"help": "Words that occur less often are left out."})
    max_vocabulary: int | None = field(default=None, metadata={"help": "Keep only the N most frequent words."})
    cache_dir: str = field(
        default="~/.cache/hf_contrastive/words", metadata={"help": "Where encoded corpora are kept for other runs."}
    )
    window: int = field(default=5, metadata={"help": "Neighbours to each side, at most."})
    dynamic_window: bool = field(
        default=True, metadata={"help": "Draw each word's own width from 1..window, as word2vec does."}
    )
    subsample: float = field(
        default=1e-3, metadata={"help": "Threshold of the subsampling of frequent words; 0 turns it off."}
    )
    chunk_words: int = field(
        default=512, metadata={"help": "Words a chunk; a batch is per_device_train_batch_size chunks."}
    )

    def __post_init__(self) -> None:
        for name in ("window", "chunk_words", "min_count"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name}: must be positive, got {getattr(self, name)}")
        if self.subsample < 0:
            raise RecipeError(f"subsample: must not be negative, got {self.subsample}")


@dataclass
class WordNegativesArguments(SamplerArguments):
    """Where the negatives of words come from."""

    negatives: str | None = field(
        default=None,
        metadata={
            "help": "A sampler by name, a mapping {name: ..., option: ...}, or a list of them whose pools are joined. "
            "`hf-contrastive samplers` lists what is registered. Default: 128 draws of unigram^0.75 that a batch "
            "shares; under negative_sampling they stand for 5."
        },
    )
    negatives_per_pair: bool = field(
        default=False,
        metadata={"help": "Every pair of words is an anchor of its own, with negatives of its own, as in word2vec.c."},
    )
    words_per_draw: int = field(
        default=0,
        metadata={
            "help": f"Neighbouring words that share what a sampler with `shared: false` draws, a multiple of {BLOCK}; "
            "0: each draws its own."
        },
    )
    mask_positives: bool = field(
        default=True, metadata={"help": "Never use a negative that is one of the anchor's own positives."}
    )
    known_cooccurrences: int = field(
        default=0,
        metadata={"help": "Words seen at least N times beside a word are no negatives of it; 0 turns it off."},
    )

    def __post_init__(self) -> None:
        if self.negatives is None:
            self.sampler_configs = []
        else:
            super().__post_init__()
        if self.words_per_draw < 0 or self.words_per_draw % BLOCK:
            raise RecipeError(f"words_per_draw: must be a multiple of {BLOCK}, got {self.words_per_draw}")
        if self.words_per_draw and (self.negatives_per_pair or self.known_cooccurrences):
            key = "negatives_per_pair" if self.negatives_per_pair else "known_cooccurrences"
            raise RecipeError(f"words_per_draw: words that share draws leave no room for {key}; leave one of them out")

    def for_objective(self, objective: str) -> "WordNegativesArguments":
        """Themselves, or with the sampler that suits the objective where none is named."""
        if self.negatives is not None:
            return self
        return replace(self, negatives=DRAWS_FOR_FIVE if objective == "negative_sampling" else DRAWS)


@dataclass
class WordEvaluationArguments:
    """How it is measured, while it trains and at the end."""

    similarity_data: str | None = field(
        default=None,
        metadata={"help": "Folder or file of word pairs with scores; default: HF_CONTRASTIVE_DATA/wordsim."},
    )
    oov: str = field(
        default="skip", metadata={"help": "Pairs with an unknown word: skip, or zero (counted as similarity 0)."}
    )
    analogy_data: str | None = field(
        default=None, metadata={"help": "questions-words.txt, measured at the end; default: not measured."}
    )

    def __post_init__(self) -> None:
        one_of("oov", self.oov, OOV_POLICIES)


@dataclass
class WordTrainingArguments(TableTrainingArguments):
    """`TrainingArguments` with a word objective and defaults that suit it."""

    per_device_train_batch_size: int = field(default=8, metadata={"help": "Chunks a step."})
    learning_rate: float = field(default=0.1, metadata={"help": "Step size of RowOptimizer."})
    num_train_epochs: float = field(default=5, metadata={"help": "Passes over the corpus."})
    objective: str = field(default="negative_sampling", metadata={"help": f"One of {', '.join(WORD_OBJECTIVES)}."})

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("objective", self.objective, WORD_OBJECTIVES)
