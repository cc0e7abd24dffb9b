"""The command `stagelog`: one module per verb, imported when the verb is called.

Owns the list of verbs, exit codes and what a user sees of an error. A StagelogError is one line on
stderr and its exit code; a bug keeps its traceback.
"""

import errno
import importlib
import sys
from pathlib import Path

import click

from stagelog import __version__, addresses
from stagelog.errors import InputError, OutputError, StagelogError, UsageError
from stagelog.platform import terminal

INTERRUPTED = 130
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_OF_A_NAME = (
    *(errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR),
    *(errno.EPERM, errno.EIO),
)

VERBS = {
    "fleet": "Make and check the fleet file: event, cars, loggers, stages.",
    "loggers": "List the ports on which a logger answers.",
    "status": "Show the state and the health of a logger.",
    "check": "Check whether the cars may start: green, amber or red.",
    "summary": "Show what the cars went through, within seconds.",
    "provision": "Give the loggers what the fleet file says, and read it back.",
    "mark": "Set a mark with a text in the log that is recorded.",
    "download": "Fetch sessions into the archive; continues where it stopped.",
    "sync": "Download, verify, report, then erase: all loggers at once.",
    "erase": "Erase the oldest session, once the archive holds it.",
    "info": "Show what a log holds.",
    "verify": "Account for every frame of a log; exit 1 if any is missing.",
    "evidence": "Pack and verify what proves what a car did.",
    "key": "Make, show and trust the keys that sign.",
    "decode": "Decode a log with a DBC into physical values.",
    "card": "Prepare a card, or read one in the laptop's reader.",
    "drive": "Let the virtual car drive, and keep the frames it sends.",
    "sim": "Start a simulated logger on a pseudo-terminal.",
    "flash": "Put the firmware onto a logger.",
    "package": "Build a signed package of firmware and settings.",
    "bringup": "Measure a new board and write a signed sheet.",
    "settings": "Show or change the settings of a logger.",
    "dbc": "Check and show a DBC, or propose one from a log.",
    "profile": "Propose or check the profile of a car.",
    "plot": "Draw signals of a log as a picture.",
    "convert": "Convert a log into another format.",
    "align": "Put the logs of several loggers of a car onto one clock.",
    "replay": "Play a log onto a bus at its own pace.",
    "watch": "Show frames and values while they are recorded.",
    "lake": "Keep the decoded tables of the archive up to date.",
    "query": "Run SQL over the archive.",
    "report": "Write the report of a stage.",
    "life": "Show what the parts of a car went through over all stages.",
    "since": "Show when a signal began to exceed a value, over all stages and cars.",
    "serve": "Serve the page for the wall: cars, loggers, what is red, live.",
}


class LazyGroup(click.Group):
    """A group whose commands are the modules of this package: `command` in each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of VERBS."""
        return [verb for verb in VERBS if Path(__file__).with_name(f"{verb}.py").exists()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the verb's module; None if there is no such verb."""
        if name not in self.list_commands(ctx):
            return None
        return importlib.import_module(f"stagelog.cli.{name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, VERBS[verb]) for verb in self.list_commands(ctx)])


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from stagelog.events.compiled import find_form

    form = find_form()
    click.echo(f"stagelog {__version__}")
    click.echo("detectors: " + ("compiled" if form.is_compiled else f"as Python ({form.why})"))
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def group() -> None:
    """Know what a rally-raid car went through.

    Exit codes: 0 done, 1 done and the verdict is bad, 2 usage, 3 device or cable, 4 another
    contract, 5 unreadable input, 6 cannot write, 130 Ctrl-C.
    """
    addresses.source = _fleet_addresses


def _fleet_addresses() -> dict[str, str]:
    from stagelog.cli._fleet import fleet_addresses

    return fleet_addresses()


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit."""
    terminal.prepare_output()
    try:
        code = group.main(args=args, prog_name="stagelog", standalone_mode=False)
        sys.stdout.flush()
    except StagelogError as error:
        code = _fail(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        code = _fail(_as_ours(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("stagelog: interrupted", err=True)
        code = INTERRUPTED
    except OSError as error:
        code = _fail_of_system(error)
    sys.exit(code if isinstance(code, int) else 0)


def _fail_of_system(error: OSError) -> int:
    """Report what the system refuses; raise again what only a bug of ours can cause."""
    if terminal.is_closed_pipe(error):
        terminal.discard_output()
        return 1
    text = f"{error.filename or 'output'}: {error.strerror}"
    if error.errno in _CANNOT_WRITE:
        return _fail(OutputError(text))
    if error.filename is None or error.errno not in _OF_A_NAME:
        raise error
    return _fail(InputError(text, "check the name and who may read it"))


def _as_ours(error: click.ClickException) -> UsageError:
    """Return click's error about the command line as a UsageError."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "stagelog"
    return UsageError(error.format_message().rstrip("."), f"see '{command} --help'")


def _fail(error: StagelogError) -> int:
    click.echo("stagelog: " + " ".join(str(error).split()), err=True)
    return error.exit_code
