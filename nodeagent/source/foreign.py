"""Text that others wrote, made fit for a message."""


def one_line(text: str | bytes) -> str:
    """The text on one line, without control characters or bytes that are no UTF-8: those are escaped."""
    if isinstance(text, bytes):
        text = text.decode(errors="backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
