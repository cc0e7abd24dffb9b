"""`micropython` where it is, and a stand-in where it is not, so that `@micropython.native` marks
the hot functions of detectors that run on CPython, too.
"""

try:
    import micropython
except ImportError:

    class micropython:  # type: ignore[no-redef]
        """Stands for the module: native code is plain code here."""

        @staticmethod
        def native(function):
            """Return the function as it is."""
            return function
