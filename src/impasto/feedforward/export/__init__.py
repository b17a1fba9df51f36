"""Instant transfer as ONNX files, for browsers and for other programs that have no PyTorch."""
