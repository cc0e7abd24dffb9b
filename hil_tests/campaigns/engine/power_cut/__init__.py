"""The power goes at and inside every write, to the card and to the board's flash."""
