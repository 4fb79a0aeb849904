"""Taking a fitted run out of the project: heads as plain tensors, ONNX, sentence-transformers, a card."""
