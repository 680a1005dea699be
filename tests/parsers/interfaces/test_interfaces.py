"""Stanzas, options, sourced files, and the commands that stanzas run."""

from __future__ import annotations

import pytest

from fwtrans.parsers.interfaces.syntax import (
    IfaceStanza,
    MappingStanza,
    OptionLine,
    SelectionStanza,
    SourceStanza,
)
from tests.parsers.interfaces.reading import MAIN, only_stanza, read, read_well, shown
from tests.places import ERROR_PAGES

PROXMOX = """\
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
\taddress 203.0.113.10/24
\tgateway 203.0.113.1
\tbridge-ports eno1
\tbridge_stp off
\tbridge-vlan-aware yes

# guests behind NAT
auto vmbr1
iface vmbr1 inet static
\taddress 10.10.10.1/24
\tbridge-ports none
\tpost-up   echo 1 > /proc/sys/net/ipv4/ip_forward
\tpost-up   iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE
\tpost-up   iptables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 443 \\
\t\t-j DNAT --to 10.10.10.2:443
\tpost-down iptables -t nat -D POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE

source /etc/network/interfaces.d/*
"""


def test_a_proxmox_host_is_read() -> None:
    file = read_well(PROXMOX)
    assert [(item.name, item.family, item.method) for item in file.interfaces()] == [
        ("lo", "inet", "loopback"),
        ("eno1", "inet", "manual"),
        ("vmbr0", "inet", "static"),
        ("vmbr1", "inet", "static"),
    ]
    assert file.selected() == ("lo", "vmbr0", "vmbr1")
    vmbr0 = file.interfaces()[2]
    assert vmbr0.options[2] == OptionLine("bridge-ports", "eno1", 10)
    assert vmbr0.values("bridge-stp") == ("off",)
    assert vmbr0.values("address") == ("203.0.113.10/24",)
    assert shown(file.interfaces()[3].commands) == [
        ("post-up", "echo", "1"),
        ("post-up", "iptables", "-t nat -A POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE"),
        ("post-up", "iptables", "-t nat -A PREROUTING -i vmbr0 -p tcp --dport 443 -j DNAT --to 10.10.10.2:443"),
        ("post-down", "iptables", "-t nat -D POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE"),
    ]


def test_words_know_their_places_in_continued_lines() -> None:
    command = read_well(PROXMOX).interfaces()[3].commands[2]
    lines = PROXMOX.split("\n")
    assert command.place == ("iptables", 21, 11, 19)
    assert command.position == 1
    assert {word.line for word in command.words} == {21, 22}
    for word in command.words:
        assert lines[word.line - 1][word.start : word.end] == word.value


@pytest.mark.parametrize("spelled", ["$IFACE", "${IFACE}", '"$IFACE"', '"${IFACE}"', "v'm'b\"r\"1"])
def test_the_interface_is_put_in(spelled: str) -> None:
    stanza = only_stanza(f"iface vmbr1 inet static\n up iptables -A FORWARD -o {spelled} -j ACCEPT\n")
    assert stanza.commands[0].words[3].value == "vmbr1"


def test_other_variables_of_ifup_are_put_in() -> None:
    stanza = only_stanza(
        "iface vmbr1 inet static\n address 10.0.0.1/24\n bridge_ports none\n"
        " up iptables -A $PHASE-$MODE -s $IF_ADDRESS -m comment --comment $ADDRFAM/$METHOD/$LOGICAL/$IF_BRIDGE_PORTS\n"
        " pre-down iptables -F $PHASE-$MODE\n"
    )
    assert [text for _, _, text in shown(stanza.commands)] == [
        "-A post-up-start -s 10.0.0.1/24 -m comment --comment inet/static/vmbr1/none",
        "-F pre-down-stop",
    ]


def test_options_may_have_blanks_and_hashes() -> None:
    stanza = only_stanza("iface vmbr0 inet manual\n   bridge-ports   eno1  eno2 # both  \n\n#x\n ovs_type OVSBridge\n")
    assert stanza.values("bridge-ports") == ("eno1  eno2 # both",)
    assert stanza.values("ovs-type") == ("OVSBridge",)


def test_a_comment_does_not_go_on_and_a_continued_line_does() -> None:
    file = read_well("# say \\\nauto a \\\n  b\\\n c\n")
    assert file.stanzas == (SelectionStanza("auto", ("a", "b", "c"), file.source, 2),)


def test_stanza_without_family_is_that_of_ifupdown2() -> None:
    stanza = only_stanza("iface br0\n address 10.0.0.1/24\n address 2001:db8::1/64\n")
    assert (stanza.family, stanza.method) == ("", "")
    assert stanza.values("address") == ("10.0.0.1/24", "2001:db8::1/64")


def test_inherited_commands_run_for_the_heir() -> None:
    file = read_well(
        "iface base inet manual\n up iptables -A X -i $IFACE\n mtu 1500\n"
        "iface eth0 inet manual inherits base\n up ip6tables -A Y -i $IFACE\n"
        "iface eth1 inherits eth0\n"
    )
    base, eth0, eth1 = file.interfaces()
    assert shown(base.commands) == [("up", "iptables", "-A X -i base")]
    assert shown(eth0.commands) == [("up", "iptables", "-A X -i eth0"), ("up", "ip6tables", "-A Y -i eth0")]
    assert shown(eth1.commands) == [("up", "iptables", "-A X -i eth1"), ("up", "ip6tables", "-A Y -i eth1")]
    assert (eth0.inherits, eth1.inherits, eth1.family) == ("base", "eth0", "")


def test_a_template_is_never_brought_up() -> None:
    file = read_well("template t inet manual\n up iptables -F $IFACE\niface a inet manual inherits t\n")
    assert [(item.name, shown(item.commands)) for item in file.interfaces()] == [("a", [("up", "iptables", "-F a")])]


def test_all_kinds_of_stanzas() -> None:
    file = read_well(
        "allow-hotplug eth0\nno-auto-down eth0\nno-scripts eth1\nrename eth0=wan\n"
        "mapping eth*\n script /bin/choose\n map HOME home\nsource-directory sub\n"
    )
    keywords = [item.keyword for item in file.stanzas if not isinstance(item, IfaceStanza)]
    assert keywords == ["allow-hotplug", "no-auto-down", "no-scripts", "rename", "mapping", "source-directory"]
    mapping = file.stanzas[4]
    assert isinstance(mapping, MappingStanza)
    assert [option.key for option in mapping.options] == ["script", "map"]
    assert file.selected() == ("eth0",)


# --- sourced files ---


def test_sourced_files_come_in_at_their_place() -> None:
    file = read_well(
        "auto a\nsource /etc/network/interfaces.d/*\nauto z\n",
        {
            "/etc/network/interfaces.d/20-two": "auto two\n",
            "/etc/network/interfaces.d/10-one": "auto one\niface one inet manual\n up ipset create x hash:ip\n",
        },
    )
    assert file.selected() == ("a", "one", "two", "z")
    (one,) = file.interfaces()
    assert one.source.name == "/etc/network/interfaces.d/10-one"
    assert one.commands[0].source is one.source


def test_relative_paths_begin_at_the_file_that_has_them() -> None:
    file = read_well("source sub/a\n", {"/etc/network/sub/a": "source b\n", "/etc/network/sub/b": "auto deep\n"})
    assert file.selected() == ("deep",)


def test_a_directory_brings_in_plain_names_only() -> None:
    names = {f"/etc/network/d/{name}": f"auto {name}\n" for name in ("good", "also-good_1", "bad.cfg", "bad~")}
    assert read_well("source-directory d\n", names).selected() == ("also-good_1", "good")


def test_a_pattern_that_matches_nothing_is_no_fault() -> None:
    (stanza,) = read_well("source /etc/network/interfaces.d/*\n").stanzas
    assert isinstance(stanza, SourceStanza)
    assert stanza.files == ()


def test_a_pattern_that_nobody_can_look_up_is_an_error() -> None:
    done = read("auto a\nsource /etc/network/interfaces.d/*\n", can_look=False)
    assert done.message == (
        "/etc/network/interfaces:2:8: error[FWT131]: what `/etc/network/interfaces.d/*` brings in is not among the inputs\n"
        "   2 | source /etc/network/interfaces.d/*\n"
        "     |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "\n"
        "hint: put the files beside this one, or take the line out if there are none"
    )


def test_a_missing_file_is_an_error() -> None:
    assert read("source /etc/network/gone\n").message.startswith(
        "/etc/network/interfaces:1:8: error[FWT131]: `/etc/network/gone` cannot be read"
    )


def test_files_that_source_each_other_are_an_error() -> None:
    assert read("source a\n", {"/etc/network/a": f"source {MAIN}\n"}).codes == ["FWT131"]
    assert read(f"source {MAIN}\n").codes == ["FWT131"]
    chain = {f"/etc/network/{number}": f"source {number + 1}\n" for number in range(50)}
    assert read("source 0\n", chain).codes == ["FWT131"]


# --- faults ---


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("address 10.0.0.1\n", "1:1", "`address` stands outside of a stanza"),
        ("auto\n", "1:1", "a name is missing behind `auto`"),
        ("iface\n", "1:1", "a name is missing behind `iface`"),
        ("iface a inet static more\n", "1:21", "`more` is one word too many"),
        ("iface a inet static\n up\n", "2:2", "a value is missing behind `up`"),
        ("iface a inherits\n", "1:9", "a name is missing behind `inherits`"),
        ("iface a inherits b\n", "1:18", "there is no interface `b` before this line"),
        ("% for v in [1,2]:\nauto a\n", "1:1", "this is a template of ifupdown2, a program in the language of Mako"),
        ("auto a\n-j ACCEPT\n", "2:1", "`-j` stands outside of a stanza"),
    ],
)
def test_a_line_that_ifup_would_refuse(text: str, place: str, message: str) -> None:
    assert read(text).message.startswith(f"{MAIN}:{place}: error[FWT130]: {message}")


def test_a_backslash_that_the_two_programs_read_differently() -> None:
    text = 'iface a inet manual\n up iptables -A X -m comment --comment "say \\"x\\""\n'
    assert read(text).message.startswith(f"{MAIN}:2:45: error[FWT132]: ifupdown2 reads a backslash")
    assert only_stanza('iface a inet manual\n up echo "say \\"x\\""\n').commands[0].program == "echo"


def test_faults_inside_of_commands_have_their_place() -> None:
    done = read("iface a inet manual\n  post-up iptables -A X \\\n    -s $(hostname -I) -j ACCEPT\n")
    assert done.message.startswith(f"{MAIN}:3:8: error[FWT132]: only a shell could tell what `$(hostname -I)` becomes")


def test_one_bad_command_does_not_hide_the_others() -> None:
    done = read(
        "iface a inet manual\n up iptables -A X -s $NET\n up iptables -A Y\n up iptables-restore < /etc/rules\n"
    )
    assert done.codes == ["FWT133", "FWT134"]
    (stanza,) = done.file.interfaces()
    assert shown(stanza.commands) == [("up", "iptables", "-A Y")]
    assert "`iptables-restore` loads rules from `/etc/rules`" in done.found[1].message


def test_random_text_gives_errors_and_never_a_traceback() -> None:
    pieces = ["iface", "auto", "source", "up", "iptables", "\\\n", "\n", " ", "$(", "`", "'", '"', "${IFACE", "&&", "|", "(", ")", "if", "fi", "\x00", "\udc80", "é", "<<E", "inherits", "a", "%", "case", "in", "esac", ";;"]  # fmt: skip
    import random  # noqa: PLC0415 -- this test alone

    source = random.Random(1)  # noqa: S311 -- tests want the same numbers again
    for _ in range(3000):
        read(" ".join(source.choices(pieces, k=source.randint(0, 25))) + "\n")
        read("iface a inet manual\n up iptables " + "".join(source.choices(pieces, k=source.randint(0, 12))))


@pytest.mark.parametrize("number", [130, 131])
def test_the_example_of_the_page_has_its_error(number: int) -> None:
    page = (ERROR_PAGES / f"FWT{number}.md").read_text(encoding="utf-8")
    assert f"FWT{number}" in read(page.split("```")[1].partition("\n")[2]).codes
