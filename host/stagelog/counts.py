"""Numbers of things in messages."""


def count_text(n: int, noun: str) -> str:
    """Return a number and what it counts: 1 message, 1,200 messages."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
