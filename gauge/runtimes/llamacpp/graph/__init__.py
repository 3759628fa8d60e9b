"""The engine's own compute graph of one micro-batch, written out operator by operator.

Data flow: `builder` (operators, inputs, caches) <- `embeddings`, `attention`, `latent_attention`, `feed_forward`,
`per_layer_input`, `recurrent` (one function a kind of layer) <- `blocks` (residual streams) <- `forward` (the whole; its
size, for which `rounds` leaves repeating blocks out).
Source: ggml-org/llama.cpp src/llama-graph.cpp, src/models/, compared with the sizes that builds b8683 to b11739 print.
"""
