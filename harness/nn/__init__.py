"""What networks and losses are made of, in `keras.ops` alone.

Takes and gives tensors: targets rendered from head points, shared losses, layers and fronts. Must not know files, samples,
runs or, but for `on_host` and `torch_module`, a backend.
"""
