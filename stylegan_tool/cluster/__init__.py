"""Folders and films on the machines of a Ray cluster (extra [ray]).

Ray schedules, retries and moves what there is to move; here is only what a worker does, and what it is told.
"""
