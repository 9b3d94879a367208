"""BibTeX of what a loss implements, for model cards."""

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
