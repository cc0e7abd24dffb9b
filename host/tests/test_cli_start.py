"""What a verb imports before it knows what it is asked for: no library that takes long.

By `python -X importtime` numpy alone takes 0.1 s of processor time on a laptop, pandas and
cantools more; `stagelog VERB --help`, the tab key and a mistyped option shall not wait for them.
"""

import subprocess
import sys

from stagelog.cli import group

SLOW = {"numpy", "scipy", "pandas", "pyarrow", "polars", "duckdb", "cantools", "can", "asammdf"}
SLOW |= {"rich", "cryptography", "serial", "starlette", "uvicorn", "stagelog.model"}
VERBS = sorted(group.list_commands(None))


def test_no_verb_imports_a_slow_library_before_it_needs_it():
    """All verbs in one process: what one of them imports is named with it."""
    code = "import sys\nfrom stagelog.cli import group\n"
    code += f"for verb in {VERBS}:\n    before = set(sys.modules)\n"
    code += "    group.get_command(None, verb)\n"
    code += f"    print(verb, *sorted((set(sys.modules) - before) & {SLOW}))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == VERBS and len(VERBS) > 30
    assert [line for line in lines if " " in line] == []


def test_the_command_itself_imports_none_either():
    code = f"import sys\nimport stagelog.cli\nprint(sorted(set(sys.modules) & {SLOW}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
