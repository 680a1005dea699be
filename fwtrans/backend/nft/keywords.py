"""Words of nft's scanner that cannot be names. nft takes no quotation marks around a name that is being declared.

Found by trying: every word of the manual pages and of libnftables itself as the name of a table, chain, set, map,
flowtable and each named object, declared and referred to, on nft 1.0.6 and on 1.1.3. What either refuses is here, so
that a name does not depend on the target; `tunnel` is a word of releases after those.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RESERVED = _words("""
    accept add ah all and arp auto-merge bridge cgroup chain comment comp constant continue counter cpu create ct
    day dccp define delete describe destroy device devices dnat drop dst dup dynamic ecn element elements eq esp
    ether exists expires exthdr fib flags flow flowtable flush frag fwd gc-interval ge geneve get goto gre gretap gt
    handle hbh hook hour ibriport ibrname icmp icmpv6 igmp iif iifgroup iifname iiftype include index inet insert
    interval ip ip6 ipsec jhash jump le limit list log lshift lt map mark masquerade meta meter mh missing monitor
    ne netdev nftrace not notrack numgen obriport obrname offload oif oifgroup oifname oiftype or osf pkttype policy
    position priority queue quota random redefine redirect reject rename replace reset return rshift rt rt0 rt2
    rtclassid rule ruleset sctp secmark set size skgid skuid snat socket srh symhash synproxy table tcp th time
    timeout tproxy tunnel type typeof udp udplite undefine update vlan vmap vni vxlan xor xt
""")
"""Words that nothing can be called."""

RESERVED_AFTER_AT = _words("""
    last ll nh
""")
"""Words that no set, map or flowtable can be called, for `@` gives them another meaning."""

RESERVED_FOR_OBJECTS = _words("""
    avgpkt burst bytes count daddr direction dport event expectation expiration helper helpers id l3proto label last
    maxseg minute mss name original over packets proto-dst proto-src protocol rate reply sack-perm saddr second
    state status timestamp until used week wscale zone
""")
"""Words that the word before an object's name (`counter`, `limit`, `ct`) turns into something else."""
