"""What goes wrong with an embedded server; the message is for the person at the terminal.

Never holds: refusals of API requests (rules/errors.py).
"""


class EmbeddedServerError(Exception):
    """An embedded server cannot run; the message says what to do, and carries the end of the server's log."""
