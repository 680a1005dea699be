"""`fwtrans simulate RULESET key=value...`: what becomes of one packet, or of many."""

from typing import Annotated

import typer

from fwtrans.cli.exitcodes import ExitCode, exit_code_of
from fwtrans.cli.output import Result
from fwtrans.cli.pve_backend import PveBackend, PveBackendOption


def simulate(
    ruleset: Annotated[str, typer.Argument(help="A dump, a directory, an nft ruleset, or `live`", show_default=False)],
    packet: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="The packet, in words", show_default=False)
    ] = None,
    packets: Annotated[
        str, typer.Option("--packets", help="Judge many: a file with one packet a line, or -", show_default=False)
    ] = "",
    pve_backend: PveBackendOption = PveBackend.IPTABLES,
) -> Result:
    """Tell what a ruleset does with a packet.

    Keys: hook from to iif oif physdev-in physdev-out src dst proto sport dport icmp-type icmp-code tcp-flags mac-src mac-dst
    mark ct-mark state, and assume=NAME:yes|no for what cannot be modelled.

    Example:
        fwtrans simulate host.nft iif=eth0 src=203.0.113.9 proto=tcp dport=22
        fwtrans simulate DIR from=vm100 to=outside dst=203.0.113.9 proto=tcp dport=443
    """
    from fwtrans.cli.inputs import FileAccess, read_lines, read_paths
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.read import read_inputs
    from fwtrans.report.simulation import simulation_text, simulation_value
    from fwtrans.simulate import check_ends, read_probe
    from fwtrans.simulate import simulate as simulate_packet

    if bool(packet) == bool(packets):
        message = "give either a packet (key=value...) or --packets FILE"
        raise typer.BadParameter(message)
    sink = DiagnosticSink()
    sources, nftables = read_paths([ruleset], sink), pve_backend is PveBackend.NFTABLES
    reading = read_inputs(sources, sink, FileAccess([ruleset]), pve_nftables=nftables)
    lines = [tuple(packet or ())] if packet else [tuple(line.split()) for line in read_lines(packets, sink)]
    probes = [read_probe(words, sink) for words in lines if words and not words[0].startswith("#")]
    if reading is None or sink.errors:
        return Result(exit_code=exit_code_of(sink.found) or ExitCode.UNREADABLE, diagnostics=tuple(sink.found))
    known = [probe for probe in probes if probe is not None and check_ends(reading.ruleset, probe, sink)]
    if sink.errors:
        return Result(exit_code=exit_code_of(sink.found), diagnostics=tuple(sink.found))
    found = [simulate_packet(reading.ruleset, probe, reading.host) for probe in known]
    values = [simulation_value(item) for item in found]
    return Result(
        data="".join(simulation_text(item) for item in found),
        value=values[0] if packet else {"packets": values},
        diagnostics=tuple(sink.found),
    )
