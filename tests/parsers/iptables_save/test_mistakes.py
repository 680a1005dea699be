"""Wrong lines, and the whole message that a person reads."""

from __future__ import annotations

import pytest

from tests.parsers.iptables_save.reading import complaint, complaint_of_script

HINTED = [
    ("-A INPUT -p tcp -dport 443 -j DROP", "FWT113", "-dport", "write `--dport`, with two dashes"),
    ("-A INPUT -dport 443 -j DROP", "FWT113", "-dport", "write `--dport`, with two dashes"),
    ("-A INPUT -m state -state NEW -j DROP", "FWT113", "-state", "write `--state`, with two dashes"),
    ("-A INPUT -p tcp -syn -j DROP", "FWT113", "-syn", "write `--syn`, with two dashes"),
    ("-A INPUT -jump DROP", "FWT113", "-jump", "write `--jump`, with two dashes"),
    ("-A FORWARD -j DNAT --to 10.0.0.1 :443", "FWT102", ":443", "remove the blank: `--to 10.0.0.1:443`"),
    ("-A INPUT -s 10.0.0.0 /8", "FWT102", "/8", "remove the blank: `-s 10.0.0.0/8`"),
    ("-A INPUT -s 10.0.0.1, 10.0.0.2", "FWT102", "10.0.0.2", "remove the blank: `-s 10.0.0.1,10.0.0.2`"),
    (
        "-A INPUT -p tcp --dport -j DROP",
        "FWT102",
        "DROP",
        "`--dport` takes the word behind it whatever it is, here `-j`; its own value may be missing",
    ),
    ("-A INPUT -m comment --comment 'a b'", "FWT102", "b'", "iptables-restore knows double quotes only"),
    ("-A INPUT !-s 10.0.0.1", "FWT102", "!-s", "write a blank behind the exclamation mark: `! -s`"),
    ("-A INPUT DROP", "FWT102", "DROP", "a target stands behind `-j`: `-j DROP`"),
    ("-A INPUT -p tcp --dprot 22", "FWT103", "--dprot", "did you mean `--dport`?"),
    ("-A INPUT -p tcp -m tcp --sprot 22", "FWT103", "--sprot", "did you mean `--sport`?"),
    ("-A INPUT --dport 22", "FWT103", "--dport", "`--dport` is known behind `-p tcp` or `-p udp`"),
    ("-A INPUT --dport 22 -p tcp", "FWT103", "--dport", "`--dport` is known behind `-p tcp` or `-p udp`"),
    ("-A INPUT --ctstate NEW", "FWT103", "--ctstate", "`--ctstate` is known behind `-m conntrack`"),
    ("-A INPUT -m COMMENT --comment x", "FWT104", "COMMENT", "did you mean `comment`?"),
    ("-A input -j DROP", "FWT109", "input", "did you mean `INPUT`?"),
    ("-A INPUT -j RETRUN", "FWT109", "RETRUN", "did you mean `RETURN`?"),
    ("-A INPUT -g LOG", "FWT109", "LOG", "`-g` goes to a chain; use `-j LOG`"),
    ("-A FORWARD -ieth0", "FWT112", "-ieth0", "write a blank: `-i eth0`"),
    ("-A INPUT -m psd -j DROP", "FWT208", "psd", "`-m recent --hitcount` can be translated"),
    ("-A INPUT -p tcp -j STEAL", "FWT208", "STEAL", "`-j DROP` does the same to the sender"),
    ("-A INPUT -j ULOG --ulog-nlgroup 1", "FWT208", "ULOG", "`-j NFLOG` has taken its place"),
    (":FORWARD", "FWT102", ":FORWARD", "a user chain has `-` there: `:FORWARD -`"),
]


@pytest.mark.parametrize(("line", "code", "blamed", "hint"), HINTED)
def test_a_mistake_has_its_code_its_place_and_its_hint(line: str, code: str, blamed: str, hint: str) -> None:
    column = line.index(blamed)
    message = complaint(line)
    assert message.startswith(f"dump:2:{column + 1}: error[{code}]: ")
    assert message.split("\n")[2] == f"     | {' ' * column}{'^' * len(blamed)}"
    assert message.endswith(f"\n\nhint: {hint}")


PLAIN = [
    ("-A INPUT -p tcp --dport", "FWT106", "--dport", "`--dport` needs a value behind it"),
    ("-A INPUT -j", "FWT106", "-j", "`-j` needs a value behind it"),
    ("-A", "FWT106", "-A", "`-A` needs a value behind it"),
    ("-A INPUT -p tcp --tcp-flags SYN -j DROP", "FWT106", "--tcp-flags", "`--tcp-flags` needs 2 words behind it"),
    ("-A INPUT -p tcp --tcp-flags SYN", "FWT106", "--tcp-flags", "`--tcp-flags` needs 2 words behind it"),
    ("-P INPUT", "FWT106", "-P", "`-P` needs a policy behind the chain"),
    ("-R INPUT -j DROP", "FWT106", "-R", "`-R` needs a rule number behind the chain"),
    ("-E INPUT", "FWT106", "-E", "`-E` needs the new name behind the old one"),
    ("-A INPUT -c 5", "FWT106", "-c", "`-c` needs 2 words behind it"),
    ("-A INPUT -m contrack", "FWT104", "contrack", "match `contrack` is not known"),
    ("-A INPUT -m icmp6", "FWT104", "icmp6", "match `icmp6` exists in ip6tables alone, not in iptables"),
    (
        "-A INPUT -j REJEKT --reject-with x",
        "FWT105",
        "REJEKT",
        "target `REJEKT` is not known, so neither is its option `--reject-with`",
    ),
    ("-A INPUT -j nosuch", "FWT109", "nosuch", "table `filter` has neither a chain nor a target `nosuch`"),
    ("-A INPUT -g nosuch", "FWT109", "nosuch", "table `filter` has no chain `nosuch`"),
    ("-A INPUT -j FORWARD", "FWT109", "FORWARD", "`FORWARD` is a built-in chain; no rule can jump to it"),
    ("-A PREROUTING -j DROP", "FWT109", "PREROUTING", "table `filter` has no chain `PREROUTING`"),
    ("-A INPUT -m limit ! --limit 5/s", "FWT110", "--limit", "`--limit` cannot be negated"),
    ("-A INPUT ! -m tcp", "FWT110", "-m", "`-m` cannot be negated"),
    ("-A INPUT ! -j DROP", "FWT110", "-j", "`-j` cannot be negated"),
    ("-A INPUT ! -s 1.1.1.1,2.2.2.2", "FWT110", "-s", "`-s` cannot be negated with several addresses"),
    ("-A INPUT -s 1.1.1.1 -d 2.2.2.2 --src 3.3.3.3", "FWT111", "--src", "`-s` stands twice"),
    ("-A INPUT -p tcp --dport 22 --destination-port 80", "FWT111", "--destination-port", "`--dport` stands twice"),
    ("-A INPUT -j DROP -g INPUT", "FWT111", "-g", "a rule has one target, and `INPUT` is a second"),
    ("-A INPUT -c a b", "FWT112", "-c", "`a b` are no counters; expected two numbers"),
    ("[a:b] -A INPUT", "FWT112", "[a:b]", "`[a:b]` are no counters; expected `[packets:bytes]`"),
    ("-I INPUT x -j DROP", "FWT112", "x", "`x` is no rule number; the first rule is 1"),
    ("-I INPUT 0 -j DROP", "FWT112", "0", "`0` is no rule number; the first rule is 1"),
    ("-N LOG", "FWT112", "LOG", "`LOG` is a target and cannot be the name of a chain"),
    ('-A INPUT -j "a b"', "FWT112", '"a b"', "`a b` has a blank in it; no chain or target has one"),
    ("-A INPUT ! ! -s 1.1.1.1", "FWT102", "! -s", "`!` stands twice"),
    ("-A INPUT ! -s ! 1.1.1.1", "FWT102", "-s", "`!` stands twice, before and behind `-s`"),
    ("-A INPUT -j DROP !", "FWT102", "!", "nothing stands behind `!`"),
    ("-A INPUT -j DROP -- x", "FWT102", "x", "`--` ends the options, and words follow it"),
    ("-A INPUT -D OUTPUT", "FWT102", "-D", "`-D` cannot stand beside `-A`"),
    ("-F -s 1.1.1.1", "FWT102", "-s", "`-s` cannot stand beside `-F`"),
    ("-A INPUT -n", "FWT102", "-n", "`-n` belongs to `-L`"),
    ("-D INPUT -c 5 6", "FWT102", "-c", "`-c` cannot stand beside this command"),
    ("-t nat -A INPUT", "FWT102", "-t", "`-t` cannot stand in a file for iptables-restore, which refuses it"),
    ("-w -A INPUT", "FWT102", "-w", "`-w` cannot stand in a file for iptables-restore, which refuses it"),
    ("-A INPUT --de 1.1.1.1", "FWT103", "--de", "`--de` may stand for `--delete`, `--delete-chain`, `--destination`"),
    ("-A INPUT -Q", "FWT103", "-Q", "iptables has no option `-Q`"),
    ("-A INPUT -o eth0", "FWT114", "-o", "`-o` cannot be used in chain `INPUT`"),
    ("-A OUTPUT -i eth0", "FWT114", "-i", "`-i` cannot be used in chain `OUTPUT`"),
    ("-I INPUT 2", "FWT114", "2", "chain `INPUT` has 0 rules, so there is no place 2"),
    (":INPUT FOO", "FWT114", "FOO", "`FOO` is no policy; expected ACCEPT or DROP"),
]


@pytest.mark.parametrize(("line", "code", "blamed", "said"), PLAIN)
def test_a_mistake_says_what_is_wrong_and_where(line: str, code: str, blamed: str, said: str) -> None:
    column = line.rindex(blamed)
    first, _, carets = complaint(line).split("\n")[:3]
    assert first == f"dump:2:{column + 1}: error[{code}]: {said}"
    assert carets.split("^")[0] == f"     | {' ' * column}"


def test_a_line_without_a_command_is_blamed_as_a_whole() -> None:
    assert complaint(" -s 1.1.1.1 -j DROP") == (
        "dump:2:2: error[FWT102]: line has no command such as `-A`\n"
        "   2 |  -s 1.1.1.1 -j DROP\n"
        "     |  ^^^^^^^^^^^^^^^^^^"
    )


def test_fragments_of_ip6_have_a_match_of_their_own() -> None:
    assert complaint("-A INPUT -f", "ip6").startswith("dump:2:10: error[FWT103]: `-f` does not exist in ip6tables\n")


def test_a_word_too_many_says_how_many_are_taken() -> None:
    assert complaint("-A FORWARD -j LOG --log-prefix a b") == (
        "dump:2:34: error[FWT102]: `b` stands where an option should\n"
        "   2 | -A FORWARD -j LOG --log-prefix a b\n"
        "     |                                  ^ `--log-prefix` takes one word"
    )


SLIPS = [
    (
        "iptables -t nat -A PREROUTING -i vmbr0 -p tcp -dport 443 -j DNAT --to 192.168.131.200:443",
        "script:1:47: error[FWT113]: `-dport` is read as `-d port`",
        "write `--dport`, with two dashes",
    ),
    (
        "iptables -t nat -A PREROUTING -i vmbr0 -p tcp --dport 443 -j DNAT --to 192.168.131.200 :443",
        "script:1:88: error[FWT102]: `:443` stands where an option should",
        "remove the blank: `--to 192.168.131.200:443`",
    ),
]


@pytest.mark.parametrize(("line", "first", "hint"), SLIPS)
def test_the_slips_of_the_slide_are_explained(line: str, first: str, hint: str) -> None:
    message = complaint_of_script(line + "\n")
    assert message.split("\n")[0] == first
    assert message.endswith(f"hint: {hint}")
