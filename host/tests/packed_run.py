"""Sources run by CPython in a world of their own: what the packer must not change."""

import re
import sys
import types

from stagelog.flash.shrink import shrink

BUILTINS = vars(__import__("builtins"))


def outcome(sources, entry="main"):
    """Return what `run` of the module `entry` returns, or the type of what it raises; `sources`
    {module name: source} are the only modules besides those of Python.
    """
    modules = {}

    def module(name):
        if name not in modules:
            made = modules[name] = types.ModuleType(name)
            vars(made).update(__builtins__={**BUILTINS, "__import__": load}, const=lambda x: x)
            exec(compile(sources[name], name, "exec"), vars(made))
        return modules[name]

    def load(name, globals=None, locals=None, fromlist=(), level=0):
        if name in sources and not fromlist and "." in name:  # import a.b as c
            return types.SimpleNamespace(**{name.rpartition(".")[2]: module(name)})
        if name in sources:
            return module(name)
        inner = [one for one in fromlist or () if f"{name}.{one}" in sources]
        if inner:
            return types.SimpleNamespace(**{one: module(f"{name}.{one}") for one in inner})
        return __import__(name, globals, locals, fromlist, level)

    try:
        return module(entry).run()
    except Exception as error:
        return type(error)


def install(monkeypatch, sources):
    """Make sources importable: the packer asks a module itself for its constants. Needs
    MicroPython's `const`, which is put beside them.
    """
    micropython = types.ModuleType("micropython")
    micropython.const = lambda value: value
    monkeypatch.setitem(sys.modules, "micropython", micropython)
    for name in sources:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name, source in sources.items():
        exec(compile(source, name, "exec"), vars(sys.modules[name]))


def check_trap(monkeypatch, own, expected, sources, readable):
    """Assert that the last of `sources` returns what is expected, packed and as it is; its names
    that are its `own` must be gone, so that no trap is passed because nothing was renamed.
    """
    install(monkeypatch, sources)
    entry = list(sources)[-1]
    packed = shrink(sources, readable)
    assert outcome(sources, entry) == expected
    assert outcome(packed, entry) == expected, "\n\n".join(packed.values())
    if not readable:
        words = set(re.findall(r"\w+", re.sub(r"'.*?'", "", "\n".join(packed.values()))))
        assert not words & own
