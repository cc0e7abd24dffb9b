"""Every trouble that the protocol of a CAN bus knows."""
