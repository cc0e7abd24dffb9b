"""Cards that stall, reject, lie, rot, go away, wear out or fill up; calls that fail."""
