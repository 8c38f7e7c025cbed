"""Films: decode, stylise, encode, in segments that survive an interruption. The only package that imports av."""
