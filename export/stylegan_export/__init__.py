"""Turn a trained run's generators into .onnx files that are checked against torch."""
