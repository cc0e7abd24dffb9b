"""The virtual car: deterministic CAN traffic of the car with its ground truth beside it."""
