"""Train a CycleGAN: two folders of unpaired pictures in, a run folder out (PyTorch)."""
