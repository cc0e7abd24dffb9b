"""An emulated RP2040 board with an MCP2515 and an SD card, run by its caller in emulated time."""
