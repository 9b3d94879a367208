"""What is said of every model of a task, whatever was measured of it."""

from typing import Any

KINDS: dict[str, dict[str, Any]] = {
    "sentences": {
        "library": "sentence-transformers",
        "pipeline": "sentence-similarity",
        "tags": ["sentence-transformers", "transformers", "feature-extraction"],
        "summary": "A sentence encoder: it maps sentences to vectors whose cosine says how alike they are in meaning.",
        "shown": [
            "objective", "temperature", "pooler", "eval_pooler", "head", "max_length", "learning_rate",
            "lr_scheduler_type", "per_device_train_batch_size", "gradient_accumulation_steps", "max_steps",
            "num_train_epochs", "warmup_steps", "weight_decay", "mlm_weight", "lora_r", "bf16", "seed",
        ],
    },
    "words": {
        "library": "sentence-transformers",
        "pipeline": "feature-extraction",
        "tags": ["sentence-transformers", "word-embeddings", "static-embeddings"],
        "summary": "Word vectors: words that keep the same company have similar vectors.",
        "shown": [
            "architecture", "objective", "dimension", "window", "min_count", "subsample", "tokenizer",
            "learning_rate", "row_rule", "per_device_train_batch_size", "chunk_words", "max_steps",
            "num_train_epochs", "seed",
        ],
    },
    "graph": {
        "library": "hf_contrastive",
        "pipeline": "graph-ml",
        "tags": ["knowledge-graph", "link-prediction"],
        "summary": "Vectors of the entities and relations of a knowledge graph, which give each triple a score: the "
        "higher, the likelier it is true.",
        "shown": [
            "interaction", "dimension", "norm", "reciprocal", "objective", "margin", "temperature", "regularizer",
            "regularizer_weight", "learning_rate", "row_rule", "per_device_train_batch_size", "max_steps",
            "num_train_epochs", "seed",
        ],
    },
    "hypernymy": {
        "library": "hf_contrastive",
        "pipeline": "graph-ml",
        "tags": ["hypernymy", "order-embeddings"],
        "summary": "Order embeddings: a concept is a kind of another where no coordinate of its point is smaller.",
        "shown": [
            "dimension", "objective", "margin", "protocol", "learning_rate", "row_rule",
            "per_device_train_batch_size", "max_steps", "num_train_epochs", "seed",
        ],
    },
}  # fmt: skip

ADAPTER_TAGS = ["sentence-transformers", "lora", "adapter"]
ADAPTER_SUMMARY = "These are LoRA adapters alone: they are added to the weights of their base model."


def limits(task: str, values: dict[str, Any], seen: str) -> list[str]:
    """What a model of this task cannot do.

    Args:
        values: every key of its recipe.
        seen: name of the training data.
    """
    if task == "sentences":
        return [
            f"Texts are cut after {values['eval_max_length']} tokens; in training after {values['max_length']}.",
            f"It was trained on {seen} and measured on what the table says; other languages and domains were not.",
            "A high cosine is no proof of the same meaning: negation and numbers change vectors little.",
            "What its base model learnt of prejudice from its texts, it has too.",
        ]
    if task == "words":
        return [
            f"Words that occur fewer than {values['min_count']} times in {seen} have no vector; nor does a word's "
            "vector know the sentence it stands in.",
            "Word vectors repeat the prejudices of the texts they were learnt from.",
        ]
    if task == "graph":
        return [
            f"It knows the entities and relations of {seen} alone, by their places in entities.txt and relations.txt.",
            "A score ranks triples; it is no probability, and what is true but missing in the graph counts as false.",
        ]
    return [
        f"It knows the concepts of {seen} alone, by their places in concepts.txt.",
        "A violation is compared with a threshold that was chosen on held-out pairs; it is no probability.",
    ]
