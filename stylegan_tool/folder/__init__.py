"""Folder trees of pictures: what is to be done, what is done already, the work itself, and its report."""
