"""BibTeX of what is implemented, for model cards."""

from typing import Any


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = [f'    {name} = "{value}",' for name, value in fields.items()]
    return "\n".join(["", f"@{kind}{{{key},", *lines, "}", ""])


SIMCSE = """
@inproceedings{gao-etal-2021-simcse,
    title = "{S}im{CSE}: Simple Contrastive Learning of Sentence Embeddings",
    author = "Gao, Tianyu and Yao, Xingcheng and Chen, Danqi",
    booktitle = "Proceedings of the 2021 Conference on Empirical Methods in Natural Language Processing",
    year = "2021",
    publisher = "Association for Computational Linguistics",
    url = "https://aclanthology.org/2021.emnlp-main.552",
    pages = "6894--6910",
}
"""
ACE = """
@inproceedings{bose-etal-2018-adversarial,
    title = "Adversarial Contrastive Estimation",
    author = "Bose, Avishek Joey and Ling, Huan and Cao, Yanshuai",
    booktitle = "Proceedings of the 56th Annual Meeting of the Association for Computational Linguistics",
    year = "2018",
    publisher = "Association for Computational Linguistics",
    url = "https://aclanthology.org/P18-1094",
    pages = "1021--1032",
}
"""
SBERT = _entry(
    "inproceedings",
    "reimers-gurevych-2019-sentence",
    title="Sentence-{BERT}: Sentence Embeddings using {S}iamese {BERT}-Networks",
    author="Reimers, Nils and Gurevych, Iryna",
    booktitle="Proceedings of EMNLP-IJCNLP 2019",
    year="2019",
    url="https://aclanthology.org/D19-1410",
)
WORD2VEC = _entry(
    "inproceedings",
    "mikolov-2013-distributed",
    title="Distributed Representations of Words and Phrases and their Compositionality",
    author="Mikolov, Tomas and Sutskever, Ilya and Chen, Kai and Corrado, Greg and Dean, Jeffrey",
    booktitle="Advances in Neural Information Processing Systems 26",
    year="2013",
    url="https://arxiv.org/abs/1310.4546",
)
ROTATE = _entry(
    "inproceedings",
    "sun-2019-rotate",
    title="{R}otat{E}: Knowledge Graph Embedding by Relational Rotation in Complex Space",
    author="Sun, Zhiqing and Deng, Zhi-Hong and Nie, Jian-Yun and Tang, Jian",
    booktitle="International Conference on Learning Representations",
    year="2019",
    url="https://arxiv.org/abs/1902.10197",
)
INTERACTIONS = {
    "transe": _entry(
        "inproceedings",
        "bordes-2013-translating",
        title="Translating Embeddings for Modeling Multi-relational Data",
        author="Bordes, Antoine and Usunier, Nicolas and Garcia-Duran, Alberto and Weston, Jason and "
        "Yakhnenko, Oksana",
        booktitle="Advances in Neural Information Processing Systems 26",
        year="2013",
    ),
    "transd": _entry(
        "inproceedings",
        "ji-etal-2015-knowledge",
        title="Knowledge Graph Embedding via Dynamic Mapping Matrix",
        author="Ji, Guoliang and He, Shizhu and Xu, Liheng and Liu, Kang and Zhao, Jun",
        booktitle="Proceedings of ACL-IJCNLP 2015",
        year="2015",
        url="https://aclanthology.org/P15-1067",
    ),
    "distmult": _entry(
        "inproceedings",
        "yang-2015-embedding",
        title="Embedding Entities and Relations for Learning and Inference in Knowledge Bases",
        author="Yang, Bishan and Yih, Wen-tau and He, Xiaodong and Gao, Jianfeng and Deng, Li",
        booktitle="International Conference on Learning Representations",
        year="2015",
        url="https://arxiv.org/abs/1412.6575",
    ),
    "complex": _entry(
        "inproceedings",
        "trouillon-2016-complex",
        title="Complex Embeddings for Simple Link Prediction",
        author="Trouillon, Th{\\'e}o and Welbl, Johannes and Riedel, Sebastian and Gaussier, {\\'E}ric and "
        "Bouchard, Guillaume",
        booktitle="Proceedings of the 33rd International Conference on Machine Learning",
        year="2016",
        url="https://arxiv.org/abs/1606.06357",
    ),
    "rotate": ROTATE,
}
ORDER = _entry(
    "inproceedings",
    "vendrov-2016-order",
    title="Order-Embeddings of Images and Language",
    author="Vendrov, Ivan and Kiros, Ryan and Fidler, Sanja and Urtasun, Raquel",
    booktitle="International Conference on Learning Representations",
    year="2016",
    url="https://arxiv.org/abs/1511.06361",
)
LORA = _entry(
    "inproceedings",
    "hu-2022-lora",
    title="{LoRA}: Low-Rank Adaptation of Large Language Models",
    author="Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean "
    "and Wang, Lu and Chen, Weizhu",
    booktitle="International Conference on Learning Representations",
    year="2022",
    url="https://arxiv.org/abs/2106.09685",
)


def citations(task: str, settings: dict[str, Any], samplers: list[str]) -> str:
    """BibTeX of what a run used, each entry once.

    Args:
        task: of the recipe.
        settings: every key of the recipe that says something, with its value.
        samplers: names of the sources of negatives.
    """
    of_task = {
        "sentences": SBERT if settings.get("objective") == "softmax_classifier" else SIMCSE,
        "words": WORD2VEC,
        "graph": INTERACTIONS.get(str(settings.get("interaction")), ""),
        "hypernymy": ORDER,
    }
    used = [of_task[task]]
    used += [ACE] if "adversarial" in samplers else []
    used += [ROTATE] if "self_adversarial" in samplers else []
    used += [LORA] if settings.get("lora_r") not in (None, 0, "0") else []
    return "\n\n".join(dict.fromkeys(entry.strip() for entry in used if entry))
