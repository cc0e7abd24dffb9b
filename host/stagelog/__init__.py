"""stagelog: know what a rally-raid car went through.

The package is imported piece by piece; nothing heavy is loaded here, so that the command starts at
once.
"""

__version__ = "0.1.0"
