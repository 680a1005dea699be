"""The names that pve-firewall takes in rules: protocols, services, ICMP types, log levels.

It reads /etc/protocols and /etc/services by itself and knows only the first name of each line, no alias; iptables, which
gets the name next, also asks that the service is one of the rule's protocol. Here stand the files of Debian 12, so that
a configuration means the same on every machine.
"""

from __future__ import annotations

from fwtrans.lower.wellknown import PROTOCOLS as _RESOLVED

_NOT_IN_THE_FILE = frozenset({"all", "ipv4", "ipv6-crypt", "ipv6-auth", "mh", "ipv6-mh"})

PROTOCOLS = frozenset(_RESOLVED) - _NOT_IN_THE_FILE | {str(number) for number in _RESOLVED.values()}
"""What a rule's protocol may be: a name of /etc/protocols, `icmpv6`, or a number that the file has."""

WITH_PORTS = frozenset({"tcp", "6", "udp", "17", "udplite", "136", "dccp", "33", "sctp", "132"})

ICMP = frozenset({"icmp"})
ICMP6 = frozenset({"icmpv6", "ipv6-icmp"})

_TCP = """
    acr-nema afpovertcp amanda amandaidx amidxtape amqp amqps auth bacula-dir bacula-fd bacula-sd bbs bgp bgpd
    binkp canna cfengine cisco-sccp clc-build-daemon csync2 cvspserver daap db-lsp dcap dicom dict dircproxy
    distcc epmap epmd exec f5-globalsite f5-iquery fax fido finger font-service freeciv ftp ftp-data ftps
    ftps-data gds-db git gopher gpsd gris groupwise gsidcap gsiftp gsigatekeeper hkp http http-alt hylafax imap2
    imaps ingreslock ipp iprop ircd ircs-u iscsi-target isisd iso-tsap kamanda kerberos-adm kermit klogin
    krb-prop kshell login lotusnote mailq microsoft-ds moira-db moira-update ms-sql-s ms-wbt-server mtn munin
    mysql mysql-proxy nbd netbios-ssn netstat nntp nntps nqs nrpe nsca ntske omniorb ospf6d ospfapi ospfd
    pawserv pop3 pop3s poppassd postgresql printer proofd puppet qmqp qmtp qotd radmin-port redis remctl ripd
    ripngd rmiregistry rmtcfg rootd rsync saft sane-port sge-execd sge-qmaster sgi-cad shell sieve silc skkserv
    smtp smux snpp socks spamd ssh submission submissions supfiledbg supfilesrv suucp svn syslog-tls sysrqd
    systat tcpmux telnet telnets tfido tproxy uucp webmin whois wnn6 x11 x11-1 x11-2 x11-3 x11-4 x11-5 x11-6
    x11-7 xinetd xmms2 xmpp-client xmpp-server xtel xtelw z3950 zabbix-agent zabbix-trapper zebra zebrasrv zope
    zope-ftp zserv
"""
_UDP = """
    afs3-bos afs3-callback afs3-fileserver afs3-kaserver afs3-prserver afs3-rmtsys afs3-update afs3-vlserver
    afs3-volser asf-rmcp babel biff bootpc bootps clearcase dhcpv6-client dhcpv6-server fsp iax icpv2
    ipsec-nat-t ipx isakmp l2f mdns moira-ureg ms-sql-m netbios-dgm netbios-ns ntalk ntp passwd-server predict
    ptp-event ptp-general route rplay sgi-cmsd sgi-crsd sgi-gcd syslog talk tftp who xdmcp zephyr-clt zephyr-hm
    zephyr-srv
"""
_BOTH = """
    asp chargen cmip-agent cmip-man codaauth2 codasrv codasrv-se datametrics daytime discard domain domain-s
    echo gdomap gnunet gnutella-rtr gnutella-svc https isns kerberos kerberos-master kerberos4 kpasswd ldap
    ldaps ldp mon nfs nut openvpn radius radius-acct rpc2portmap rtcm-sc104 rtsp sa-msg-port sip sip-tls snmp
    snmp-trap sunrpc svrloc tacacs time tinc venus venus-se
"""

_OF_TCP = frozenset((_TCP + _BOTH).split())
_OF_UDP = frozenset((_UDP + _BOTH).split())
SERVICES = _OF_TCP | _OF_UDP
SERVICES_OF: dict[str, frozenset[str]] = {
    "tcp": _OF_TCP,
    "6": _OF_TCP,
    "udp": _OF_UDP,
    "17": _OF_UDP,
    "sctp": frozenset({"amqp"}),
    "132": frozenset({"amqp"}),
}
"""The services that iptables finds for a protocol."""

_ICMP_TYPES = """
    any echo-reply destination-unreachable network-unreachable host-unreachable protocol-unreachable
    port-unreachable fragmentation-needed source-route-failed network-unknown host-unknown network-prohibited
    host-prohibited TOS-network-unreachable TOS-host-unreachable communication-prohibited
    host-precedence-violation precedence-cutoff source-quench redirect network-redirect host-redirect
    TOS-network-redirect TOS-host-redirect echo-request router-advertisement router-solicitation time-exceeded
    ttl-zero-during-transit ttl-zero-during-reassembly parameter-problem ip-header-bad required-option-missing
    timestamp-request timestamp-reply address-mask-request address-mask-reply
"""
_ICMP6_TYPES = """
    destination-unreachable no-route communication-prohibited beyond-scope address-unreachable port-unreachable
    failed-policy reject-route packet-too-big time-exceeded ttl-zero-during-transit ttl-zero-during-reassembly
    parameter-problem bad-header unknown-header-type unknown-option echo-request echo-reply router-solicitation
    router-advertisement neighbor-solicitation neighbour-solicitation neighbor-advertisement
    neighbour-advertisement redirect
"""

ICMP_TYPES = frozenset(_ICMP_TYPES.split())
ICMP6_TYPES = frozenset(_ICMP6_TYPES.split())

LOG_LEVELS = {"emerg": 0, "alert": 1, "crit": 2, "err": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
"""The numbers that stand in NFLOG prefixes; `nolog` is no level."""
