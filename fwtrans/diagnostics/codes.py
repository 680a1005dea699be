"""Every code that fwtrans can say, in one table. A code is never used again for something else.

1xx reading, 2xx no exact translation, 3xx an invariant of ours, 4xx equivalence, 5xx printing, 6xx loading, 7xx lab.
Each has a page docs/errors/<code>.md with an example; a test holds the two together.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Severity(Enum):
    """How much a finding weighs: an error forbids a result, the others are told with it."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(NamedTuple):
    """A code's short title and weight."""

    title: str
    severity: Severity = Severity.ERROR


_WARNING = Severity.WARNING
_NOTE = Severity.NOTE

CODES: dict[str, Code] = {
    # 100-119 iptables-save, iptables -S, command lines
    "FWT100": Code("input is not text"),
    "FWT101": Code("format not recognised"),
    "FWT102": Code("line not understood"),
    "FWT103": Code("unknown option"),
    "FWT104": Code("unknown match"),
    "FWT105": Code("unknown target"),
    "FWT106": Code("option needs a value"),
    "FWT107": Code("dump ends before COMMIT"),
    "FWT108": Code("quote is not closed"),
    "FWT109": Code("rule names a chain that does not exist"),
    "FWT110": Code("option cannot be negated"),
    "FWT111": Code("option given twice"),
    "FWT112": Code("value not understood"),
    "FWT113": Code("single dash before a long option"),
    "FWT114": Code("command cannot be carried out"),
    "FWT115": Code("file cannot be read"),
    "FWT116": Code("required option is missing"),
    "FWT117": Code("options exclude each other"),
    "FWT118": Code("table is given twice", _WARNING),
    "FWT119": Code("dump is not whole", _WARNING),
    # 120-129 ipset
    "FWT120": Code("ipset command not understood"),
    "FWT121": Code("ipset option not understood"),
    "FWT122": Code("ipset value not understood"),
    "FWT123": Code("does not fit the set"),
    "FWT124": Code("ipset command cannot be carried out"),
    "FWT125": Code("host name in a set"),
    "FWT126": Code("listing instead of a dump"),
    # 130-139 interfaces(5) and shell scripts
    "FWT130": Code("line of interfaces not understood"),
    "FWT131": Code("sourced file is missing"),
    "FWT132": Code("shell construct cannot be read"),
    "FWT133": Code("shell variable is not known"),
    "FWT134": Code("rules are loaded from elsewhere"),
    "FWT135": Code("firewall command depends on a condition"),
    "FWT136": Code("another script is not read", _WARNING),
    "FWT137": Code("part of a script does not run", _WARNING),
    "FWT138": Code("dumps whose families nothing tells apart"),
    # 140-149 iptables-save, more
    "FWT140": Code("policy of a user chain is not read", _WARNING),
    # 150-159 nft
    "FWT150": Code("nft statement not understood"),
    "FWT151": Code("word unknown to nft"),
    "FWT152": Code("brace or quote is not closed"),
    "FWT153": Code("variable is not defined"),
    "FWT154": Code("included file cannot be read"),
    "FWT155": Code("table is switched off", _WARNING),
    "FWT156": Code("table belongs to a program", _WARNING),
    # 160-174 the files of Proxmox VE, 175-189 what they refer to
    "FWT160": Code("section header not understood", _WARNING),
    "FWT161": Code("line stands in no section", _WARNING),
    "FWT162": Code("firewall option not understood", _WARNING),
    "FWT163": Code("alias not understood", _WARNING),
    "FWT164": Code("entry of a set is left out", _WARNING),
    "FWT165": Code("firewall rule not understood", _WARNING),
    "FWT166": Code("value of a firewall rule is refused", _WARNING),
    "FWT167": Code("given twice in a firewall file", _WARNING),
    "FWT168": Code("Proxmox VE would load no rules"),
    "FWT169": Code("guest configuration not understood", _WARNING),
    "FWT170": Code("corosync.conf not understood"),
    "FWT171": Code("facts about the node not understood"),
    "FWT172": Code("more lines are left out", _WARNING),
    "FWT173": Code("file has no part in this node's firewall", _NOTE),
    "FWT174": Code("mistakes in a configuration that must have none"),
    # 175-189 what pve-firewall makes of it
    "FWT175": Code("firewall rule names something that is not there", _WARNING),
    "FWT176": Code("firewall rule does not fit together", _WARNING),
    "FWT177": Code("security group does not exist", _WARNING),
    "FWT178": Code("entry of a set names an unknown alias", _WARNING),
    "FWT179": Code("chains of a guest are not finished", _WARNING),
    "FWT180": Code("setting is for the nftables backend", _NOTE),
    "FWT181": Code("local network of the node is not known", _WARNING),
    "FWT182": Code("address of a cluster node is not known", _WARNING),
    "FWT183": Code("guest has no rules on layer 2", _WARNING),
    "FWT185": Code("Proxmox VE's firewall is off", _NOTE),
    "FWT186": Code("guest's network card has no MAC address", _WARNING),
    "FWT187": Code("what SDN runs with is not known", _WARNING),
    # 200-249 meaning that nft or we cannot express
    "FWT200": Code("no exact nftables form"),
    "FWT201": Code("bridge port matches need the bridge family"),
    "FWT202": Code("set is not in the input"),
    "FWT203": Code("rule can never match", _NOTE),
    "FWT205": Code("jump loop"),
    "FWT206": Code("set is used by no rule", _NOTE),
    "FWT207": Code("what stands for a rule in a partial translation", _NOTE),
    "FWT208": Code("extension from outside of Linux"),
    "FWT210": Code("guest's accept mark reaches the host's rules", _WARNING),
    "FWT211": Code("REJECT towards a guest is a drop", _NOTE),
    "FWT212": Code("loop of jumps that no packet comes to", _NOTE),
    # 3xx
    "FWT300": Code("internal invariant broken"),
    # 4xx
    "FWT400": Code("translation differs from its input"),
    "FWT401": Code("translation could not be proved equal", _WARNING),
    "FWT402": Code("partial translation could not be proved safe"),
    "FWT403": Code("optimiser pass left out, not proved equal", _WARNING),
    "FWT404": Code("proof was not finished"),
    # 5xx
    "FWT500": Code("name was changed for nftables", _NOTE),
    "FWT501": Code("text cannot be printed safely"),
    "FWT502": Code("target version cannot express this"),
    "FWT503": Code("jumps are nested too deep"),
    # 600-649 loading
    "FWT600": Code("libnftables cannot be used"),
    "FWT601": Code("only root may do this"),
    "FWT602": Code("nft or kernel is too old"),
    "FWT603": Code("nft refuses the ruleset"),
    "FWT604": Code("table belongs to somebody else"),
    "FWT605": Code("another run is under way"),
    "FWT606": Code("an apply waits for its confirmation"),
    "FWT607": Code("running firewall is not what was translated"),
    "FWT608": Code("new ruleset treats packets differently"),
    "FWT609": Code("running firewall cannot be saved"),
    "FWT610": Code("way back is not ready"),
    "FWT611": Code("file cannot be written"),
    "FWT612": Code("loading failed"),
    "FWT613": Code("not confirmed"),
    "FWT614": Code("restoring failed"),
    "FWT615": Code("nothing to confirm or to go back to"),
    "FWT616": Code("others changed our table", _WARNING),
    "FWT617": Code("loaded anew as a whole", _NOTE),
    "FWT618": Code("others judge packets at the same hook", _WARNING),
    "FWT619": Code("a service changes rules by itself", _WARNING),
    "FWT620": Code("consent is needed"),
    "FWT621": Code("both variants of iptables hold rules"),
    "FWT622": Code("part of the host could not be collected", _WARNING),
    "FWT623": Code("translation is not proved"),
    # 700-749 lab
    "FWT700": Code("no kernel can load both sides"),
    "FWT701": Code("input cannot be loaded as it is"),
    "FWT702": Code("kernel could not be asked"),
    "FWT703": Code("loaded as fwtrans reads it", _NOTE),
}
