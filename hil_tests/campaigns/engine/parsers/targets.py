"""All targets of the parser campaign, by name."""

from campaigns.engine.parsers import blocks as parser_blocks
from campaigns.engine.parsers import logs as parser_logs
from campaigns.engine.parsers import tables as parser_tables
from campaigns.engine.parsers import wire as parser_wire

TARGETS = {
    target.name: target
    for target in (
        parser_blocks.Blocks,
        parser_blocks.Sealed,
        parser_blocks.Card,
        parser_wire.Framing,
        parser_wire.Messages,
        parser_wire.Service,
        parser_wire.Answers,
        parser_tables.Settings,
        parser_tables.SignalTable,
        parser_tables.Dbc,
        parser_tables.Manifest,
        parser_tables.Names,
        parser_logs.Candump,
        parser_logs.Ascii,
        parser_logs.Trace,
        parser_logs.Binary,
        parser_logs.Csv,
        parser_logs.CanCsv,
        parser_logs.CanSqlite,
        parser_logs.Packed,
        parser_logs.Squeezed,
        parser_logs.Diagnostics,
        parser_logs.Mf4,
    )
}
