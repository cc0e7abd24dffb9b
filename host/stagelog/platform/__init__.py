"""What differs between Linux, macOS and Windows; the rest of stagelog asks here.

    files      renames, locks, flushes, files that appear whole, hints to the memory of a mapped
               file
    names      names of files that every system takes
    drives     disks in this computer's reader: size, model, where they are mounted, ejecting
    raw_disk   a whole disk, opened to be written by this program alone
    processes  processes beside this one
    terminal   output that the console cannot show, a closed pipe, signals that end a program

No other module of the host asks for os.name or imports a module that only one system has. What
needs a pseudo-terminal or a compiler stays in `rig`. host/tests/windows_like.py runs
the verbs without what Windows lacks; no real Windows or macOS has run them yet.
"""
