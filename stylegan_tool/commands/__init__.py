"""One module a command: options -> call. What they share is in base, model_options and usage.

Heavy imports wait inside the functions, so that help stays fast.
"""
