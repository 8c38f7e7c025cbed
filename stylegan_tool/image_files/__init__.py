"""Picture files: read upright with all their values, found and named, written whole or not at all."""
