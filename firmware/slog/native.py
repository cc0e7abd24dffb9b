"""`micropython` where it is, and a stand-in where it is not, so that `@micropython.native` and
`@micropython.viper` mark hot functions that run on CPython, too.

A viper function that runs everywhere takes its arrays as pointers, and extends the sign of what it
reads from a ptr32 and may be negative: on machines of 64 bits that is not done for it.
"""

try:
    import micropython

    def words_of(buf):
        """Return `buf`, of whole words, as one indexes it that viper code has as a ptr32."""
        return buf

except ImportError:

    def words_of(buf):
        """Return `buf`, of whole words, as one indexes it that viper code has as a ptr32."""
        return memoryview(buf).cast("I")

    class micropython:  # type: ignore[no-redef]
        """Stands for the module: native code is plain code here."""

        @staticmethod
        def native(function):
            """Return the function as it is."""
            return function

        viper = native


# As annotations: what viper code calls its pointers.
ptr8 = bytearray
ptr16 = bytearray
ptr32 = bytearray
