"""Long stages, and little memory."""
