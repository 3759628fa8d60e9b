"""One adapter a family, in a file named after its `model_type`; `SAME` lists types that share another's adapter.

An adapter is a function `read(config) -> Model`. It is found by its file name; nothing is registered.
"""

SAME = {
    "mistral": "llama",
    "roberta": "bert",
    "xlm-roberta": "bert",
    "mt5": "t5",
}
