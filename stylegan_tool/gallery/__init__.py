"""One HTML page that shows results beside what they were made of, and how a training run went."""
