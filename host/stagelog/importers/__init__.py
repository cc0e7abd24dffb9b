"""Any log in, one frame table out."""
