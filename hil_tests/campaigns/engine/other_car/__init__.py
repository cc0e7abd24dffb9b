"""A second virtual car, written without sight of the first: the detectors' judge.

cars       parameters of a car, drawn anew for every drive around the profile, near or far
terrain    which kinds of ground are for tuning and which only for scoring; shapes makes them
dynamics   seven degrees of freedom, many cars at once
truth      flights and landing peaks, from the contact forces alone
sensors    what IMU, dampers and wheel sensors read
frames     the readings as CAN frames of the shipped DBC
faults     sensors that are gone, stuck, frozen, noisy
changes    one setting of a near car changed
drives     drives made and kept in the cache
scores     what the detectors found beside what was
tables     the scores as tables
"""
