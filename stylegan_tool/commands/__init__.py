"""One module a command: options -> call. Heavy imports wait inside the functions, so that help stays fast."""
