"""What the user can mend: one line on the terminal, a non-zero exit, no traceback."""


class UserError(Exception):
    """A fault in what the user gave: command line, config, data or checkpoint. The tools exit with code 2."""


class OwnError(UserError):
    """What one process of several has met, and the others perhaps not: it says so itself."""
