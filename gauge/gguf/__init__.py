"""What a GGUF file holds: which tensors, under which names, in which type.

`tensors` says which, `file_types` says in which type. Source: ggml-org/llama.cpp, its converter and
its quantizer.
"""
