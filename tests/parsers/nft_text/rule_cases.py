"""Rules of every kind that nft(8) has, by the place where nft takes them."""

from __future__ import annotations

from typing import NamedTuple

_DECLARED = """
 ct helper ftp { type "ftp" protocol tcp; }
 counter c1 { packets 1 bytes 2 }
 quota q1 { over 20 mbytes used 5 bytes }
 limit l1 { rate 10/second burst 7 packets }
 synproxy sp { mss 1460; wscale 7; timestamp sack-perm; }
 set s1 { type ipv4_addr . inet_service; flags interval; elements = { 1.2.3.0/24 . 22-25 } }
 set s2 { type ipv4_addr; elements = { 1.2.3.4 } }
 set dyn { type ipv4_addr; flags dynamic,timeout; timeout 60s; }
 set dyn2 { type ipv4_addr . inet_service; flags dynamic; size 128; }
 map dm { type ipv4_addr : inet_service; flags dynamic; }
 map am { type ipv4_addr : ipv4_addr; elements = { 1.1.1.1 : 2.2.2.2 } }
 map nm { type ipv4_addr : ipv4_addr . inet_service; elements = { 1.1.1.1 : 2.2.2.2 . 80 } }
 chain z { }
"""


class Place(NamedTuple):
    """A family and a base chain, and the rules that are tried there."""

    name: str
    family: str
    hook: str
    declared: str
    rules: tuple[str, ...]
    needs_lab: bool = False

    def ruleset(self, rule: str) -> str:
        return f"table {self.family} t {{{self.declared}\n chain c {{ type {self.hook};\n{rule}\n }}\n}}\n"


def _rules(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


MATCHES = _rules("""
    tcp flags ! fin,syn
    tcp flags fin,syn / fin,syn,ack
    tcp flags & (fin|syn) == fin|syn
    tcp flags != syn
    tcp flags syn
    tcp flags { syn, ack | syn }
    ct state established,related
    ct state new
    ct state { new, established }
    ct state != invalid
    ct status assured,seen-reply
    ct status & assured == assured
    mark 0x10
    mark & 0xff == 0x10
    mark and 0xff != 5
    mark != 1-5
    ct mark set mark and 0xff or 0x100
    ct mark set ct mark ^ 5
    mark set ct mark << 2
    meta mark set tcp dport map { 22 : 1, 23 : 2 }
    ip dscp set cs1
    ip dscp { cs1, 5 }
    ip dscp cs3
    ct original ip saddr 1.2.3.4
    tcp dport 1 ct reply proto-dst 80
    ct original packets > 5
    ct bytes > 5
    ct original bytes 5-9
    ct expiration > 60s
    ct helper "ftp"
    fib daddr . iif type local
    fib saddr . iif oif missing
    fib saddr . iif oif eq 0
    fib daddr type { local, broadcast }
    exthdr frag exists
    frag more-fragments 1
    rt type 0
    tcp option maxseg size 500
    tcp option maxseg exists
    tcp option sack missing
    tcp option 5 exists
    tcp option maxseg size set 1400
    ip option lsrr exists
    ip option lsrr type 1
    socket transparent 1
    socket mark 5
    socket wildcard 0
    rt ip nexthop 1.2.3.4
    numgen inc mod 4 == 2
    numgen random mod 4 offset 1 < 2
    jhash ip saddr . tcp dport mod 4 seed 0xdead == 1
    symhash mod 4 offset 1 2
    @th,16,16 22
    @th,16,16 { 22, 23 }
    @nh,8,8 & 0xf == 1
    meta hour "09:00"-"17:00"
    meta day "Monday"
    meta day { 1, 2 }
    meta time "2026-01-01 00:00:00"-"2026-02-01 00:00:00"
    meta skuid 0
    meta skgid { 0, 5 }
    meta iiftype ether
    meta iif lo
    iif { lo }
    iifname { "a", "b*" }
    iifname "eth*"
    oifname != "eth0"
    meta l4proto { tcp, 17 } th dport 53
    ip protocol tcp
    ip protocol { tcp, udp }
    ip6 nexthdr ipv6-icmp
    meta nfproto ipv4
    meta protocol ip
    meta pkttype { broadcast, multicast }
    meta priority 1:2
    meta length > 100
    meta cpu 1
    ip frag-off & 0x1fff != 0
    ip saddr != 1.2.3.0/24
    ip saddr & 255.255.0.255 == 1.2.0.4
    ip saddr { 1.2.3.4, 1.2.3.8-1.2.3.10, 10.0.0.0/8 }
    ip saddr . tcp dport { 1.2.3.4 . 22, 1.2.3.5 . 80 }
    ip saddr . tcp dport @s1
    ip saddr . tcp dport != @s1
""")
STATEMENTS = _rules("""
    accept
    drop
    continue
    return
    jump z
    goto z
    tcp dport vmap { 22 : accept, 23 : jump z, * : drop }
    tcp dport 22 ip saddr . tcp dport vmap { 1.1.1.1 . 22 : accept }
    counter
    counter packets 5 bytes 6
    counter name "c1"
    counter name tcp dport map { 22 : "c1" }
    limit rate 10/second
    limit rate over 10/minute burst 5 packets
    limit rate 10 mbytes/second burst 5 kbytes
    limit rate 1025 bytes/hour
    limit name "l1"
    limit name tcp dport map { 22 : "l1" }
    quota over 20 mbytes
    quota until 20 kbytes used 500 bytes
    quota 5 bytes
    quota name "q1"
    ct count 10
    ct count over 10
    log
    log prefix "x y" group 1 snaplen 2 queue-threshold 3
    log prefix "x" level debug flags tcp sequence,options flags ip options flags skuid flags ether
    log flags all
    log level audit
    ct helper set "ftp"
    notrack
    ct zone set 5
    ct original zone set 5
    ct zone set meta mark map { 1 : 2 }
    ct event set new,destroy
    ct mark set 5
    meta nftrace set 1
    meta priority set 1:2
    meta pkttype set host
    meta mark set mark and 0xff xor 5
    meta mark set numgen inc mod 5
    meta mark set jhash ip saddr . ip daddr mod 5 seed 0xa offset 2
    ip ttl set 5
    tcp dport set 80
    tcp flags set syn
    ip saddr set 1.2.3.4
    ip ecn set ce
    @th,0,16 set 5
    reset tcp option 5
    reset tcp option timestamp
    add @dyn { ip saddr }
    update @dyn { ip saddr timeout 5s limit rate over 5/second burst 3 packets }
    delete @dyn { ip saddr }
    set add ip saddr @dyn
    set update ip saddr timeout 5s @dyn
    add @dyn2 { ip saddr . tcp dport ct count over 5 } drop
    add @dyn { ip saddr counter limit rate 5/second }
    update @dm { ip saddr : tcp dport }
    meter mm { ip saddr timeout 5s limit rate 5/second } drop
    meter mm2 size 100 { ip saddr . tcp dport ct count over 5 } drop
    meter mm3 size 100 { ip saddr and 255.255.255.0 limit rate over 5/second } drop
    dup to 1.2.3.4
    dup to 1.2.3.4 device lo
    dup to ip saddr map { 1.1.1.1 : 2.2.2.2 }
    meta l4proto tcp tproxy to :5000
    meta l4proto tcp tproxy to 1.2.3.4:5000 meta mark set 1 accept
    tcp dport 1 tproxy to 1.2.3.4
    queue
    queue num 1
    queue num 1-3 bypass,fanout
    queue to 5
    queue flags bypass to 1-3
    queue to numgen inc mod 4
    queue to symhash mod 2 offset 1
    queue to tcp dport map { 22 : 5 }
    ip saddr 1.1.1.1 comment "hello world"
    iif lo
    meta mark set (mark & 0xff) | (5)
    tcp dport { ssh, http-alt, 1-5 }
    ct state vmap { established : accept, invalid : drop }
    icmp type echo-request icmp code 0
    icmp type { echo-request, echo-reply }
    reject
    reject with icmp type host-unreachable
    reject with icmp port-unreachable
    meta l4proto tcp reject with tcp reset
    ct state != established,related
    tcp flags == fin,syn
    limit rate 3/week burst 9 packets accept
    ip saddr @s2 ip daddr != 10.0.0.0/8 drop
    meta l4proto tcp ct state new add @dyn { ip saddr timeout 30s } log prefix "new: " accept
    th dport { 1024-65535 } meta mark & 0x0000ff00 == 0x00001200 jump z
    icmp type destination-unreachable icmp code 4
    ip dscp 0x2e
    ip ecn != ce
    ip saddr . ip daddr vmap { 1.1.1.1 . 2.2.2.2 : drop, 1.1.1.3-1.1.1.9 . 2.2.2.0/24 : jump z }
    meta mark set ip saddr map { 10.0.0.0/8 : 1, 11.0.0.0-11.0.0.255 : 2 }
    meta priority set 1:2 comment "a comment"
""")

PLACES = (
    Place("matches", "inet", "filter hook prerouting priority 0", _DECLARED, MATCHES, needs_lab=True),
    Place("statements", "ip", "filter hook prerouting priority 0", _DECLARED, STATEMENTS, needs_lab=True),
    Place(
        "dnat",
        "ip",
        "nat hook prerouting priority -100",
        _DECLARED,
        _rules("""
    dnat to 1.2.3.4
    meta l4proto tcp dnat to 1.2.3.4:80
    meta l4proto tcp dnat ip to 1.2.3.4-1.2.3.9:80-90 random,persistent
    dnat to ip saddr map { 1.1.1.1 : 2.2.2.2 }
    tcp dport 5 dnat to tcp dport map { 80 : 1.1.1.1 . 8080 }
    meta l4proto tcp dnat ip addr . port to ip saddr map @nm
    meta l4proto tcp redirect to :80
    tcp dport 1 redirect to :tcp dport map { 80 : 90 }
    redirect
    dnat ip prefix to ip saddr map { 10.0.0.0/24 : 20.0.0.0/24 }
    dnat prefix to 10.0.0.0/24
    meta l4proto tcp dnat to numgen inc mod 2 map { 0 : 1.1.1.1, 1 : 2.2.2.2 } : 80
    dnat to ip saddr map @am
"""),
    ),
    Place(
        "snat",
        "ip",
        "nat hook postrouting priority 100",
        _DECLARED,
        _rules("""
    masquerade
    masquerade random,fully-random
    meta l4proto tcp masquerade to :1024-65535
    snat to 1.2.3.4 persistent
    snat ip prefix to 10.0.0.0/24
    meta l4proto tcp snat to ip saddr map { 1.1.1.1 : 2.2.2.2 } : 80
"""),
    ),
    Place(
        "inet dnat",
        "inet",
        "nat hook prerouting priority -100",
        "",
        _rules("""
        dnat ip to 1.2.3.4
        dnat ip6 to 2001:db8::1
        tcp dport 80 dnat ip6 to [2001:db8::1]:8080
        tcp dport 80 redirect to :8080
    """),
    ),
    Place(
        "input",
        "ip",
        "filter hook input priority 0",
        _DECLARED,
        _rules("""
        meta l4proto tcp synproxy mss 1460 wscale 7 timestamp sack-perm
        meta l4proto tcp synproxy name sp
        reject
        reject with icmp type host-unreachable
        meta l4proto tcp reject with tcp reset
    """),
        needs_lab=True,
    ),
    Place(
        "forward",
        "inet",
        "filter hook forward priority 0",
        "",
        _rules("""
        reject with icmpx type no-route
        reject with icmpv6 no-route
        reject
        vlan id 5
        ether saddr 00:11:22:33:44:55
        ip6 saddr { fe80::/10, ::1 }
        ip6 saddr fe80::/10
        ip6 daddr != 2001:db8::1-2001:db8::ff
        tcp option maxseg size set rt mtu
        tcp option maxseg size set 1400
    """),
        needs_lab=True,
    ),
    Place(
        "arp",
        "arp",
        "filter hook input priority 0",
        "",
        _rules("""
        arp saddr ip 1.2.3.4
        arp daddr ether 00:11:22:33:44:55
        arp htype 1 arp ptype ip
        arp operation request
    """),
    ),
    Place(
        "netdev",
        "netdev",
        "filter hook ingress device lo priority 0",
        "",
        _rules("""
        fwd to lo
        dup to lo
        vlan id 5 vlan pcp 3
    """),
        needs_lab=True,
    ),
    Place(
        "bridge",
        "bridge",
        "filter hook input priority -200",
        "",
        _rules("""
        meta ibrname "br0"
        vlan id 5 vlan type ip
        reject with icmpx admin-prohibited
        ct state new,established
    """),
        needs_lab=True,
    ),
)
