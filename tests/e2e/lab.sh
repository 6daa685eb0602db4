#!/usr/bin/env bash
# A pod's view of Catena, with real programs: in a network namespace of its own, libc, curl and dig resolve through Catena on port 53 with
# a pod's resolv.conf; nginx answers behind the Service's address; an outside name goes through `forward` to NSD.
#
#   tests/e2e/lab.sh [path of the catena binary]
#
# Needs root, and iproute2, nginx, nsd, curl and dig from Debian (iproute2 nginx-light nsd curl bind9-dnsutils). Where one of them is
# missing it says so and ends with 77. Everything happens within the namespace, and everything that was started is ended.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
catena=$(realpath "${1:-$root/target/release/catena}")
for program in ip nginx nsd curl dig getent; do
    command -v "$program" >/dev/null || { echo "lab: skipped, there is no $program"; exit 77; }
done
[[ $EUID -eq 0 ]] || { echo "lab: skipped, this needs root"; exit 77; }

name=catena-lab-$$
work=$(mktemp -d)
pids=()
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    ip netns del "$name" 2>/dev/null || true
    rm -rf "$work" "/etc/netns/$name"
}
trap cleanup EXIT

ip netns add "$name"
# In the background, programs are started without it: the number kept is then theirs and not that of a shell.
inside() { ip netns exec "$name" "$@"; }
inside ip link set lo up
# The addresses of the DNS service, of the Service nginx and of its pod all are this host's.
for address in 10.96.0.10 10.96.0.80 10.244.0.10 10.244.0.20; do inside ip addr add "$address/32" dev lo; done

# `ip netns exec` shows this file as /etc/resolv.conf: it is what the kubelet gives a pod.
mkdir -p "/etc/netns/$name"
cat >"/etc/netns/$name/resolv.conf" <<CONF
nameserver 10.96.0.10
search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
CONF

cat >"$work/nsd.conf" <<CONF
server:
    ip-address: 127.0.0.1@5353
    username: ""
    chroot: ""
    zonesdir: "$work"
    database: ""
    pidfile: "$work/nsd.pid"
    xfrdfile: "$work/xfrd.state"
    zonelistfile: "$work/zone.list"
    xfrdir: "$work"
remote-control:
    control-enable: no
zone:
    name: example.org
    zonefile: example.org.zone
CONF
cat >"$work/example.org.zone" <<'ZONE'
$TTL 300
@    IN SOA ns1 hostmaster 1 7200 1800 86400 300
     IN NS  ns1
ns1  IN A   127.0.0.1
www  IN A   10.96.0.80
big  IN TXT "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
ZONE
ip netns exec "$name" nsd -d -c "$work/nsd.conf" >"$work/nsd.log" 2>&1 & pids+=($!)

mkdir -p "$work/www"
echo "hello from nginx" >"$work/www/index.html"
cat >"$work/nginx.conf" <<CONF
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 64; }
http {
    access_log off;
    server { listen 80; root $work/www; }
}
CONF
chmod -R a+rX "$work"
ip netns exec "$name" nginx -c "$work/nginx.conf" & pids+=($!)

cat >"$work/Corefile" <<CONF
.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests $root/examples/lab
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
    forward . 127.0.0.1:5353
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
CONF
ip netns exec "$name" "$catena" -conf "$work/Corefile" >"$work/catena.log" 2>&1 & pids+=($!)

failed=0 passed=0
for _ in $(seq 100); do
    [[ $(inside curl -s -m 1 http://127.0.0.1:8181/ready || true) == OK ]] && break
    sleep 0.1
done

# expect TEXT COMMAND...: the command's output holds the text.
expect() {
    local text=$1 said
    shift
    said=$(inside "$@" 2>&1) || true
    if [[ $said == *"$text"* ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n  wanted: %s\n  got: %s\n' "$*" "$text" "$said"
    fi
}

# libc, through the search path.
for host in nginx nginx.default nginx.default.svc nginx.default.svc.cluster.local; do
    expect 10.96.0.80 getent ahostsv4 "$host"
done
expect 10.96.0.80 getent ahosts www.example.org
expect nginx.default.svc.cluster.local getent hosts 10.96.0.80
# A web client.
expect "hello from nginx" curl -s -m 5 http://nginx/
expect "hello from nginx" curl -s -m 5 http://nginx.default.svc.cluster.local/
expect "hello from nginx" curl -s -m 5 http://www.example.org/
# dig, over UDP and TCP.
expect 10.96.0.80 dig +short +search nginx
expect 10.96.0.80 dig +short +tcp nginx.default.svc.cluster.local
expect "0 100 80 nginx.default.svc.cluster.local." dig +short _http._tcp.nginx.default.svc.cluster.local SRV
expect 10.244.0.20 dig +short 10-244-0-20.default.pod.cluster.local
expect nginx.default.svc.cluster.local. dig +short -x 10.96.0.80
expect "status: NXDOMAIN" dig absent.default.svc.cluster.local
expect "ns.dns.cluster.local. hostmaster.cluster.local." dig absent.default.svc.cluster.local
expect 10.96.0.80 dig +short www.example.org
expect aaaaaaaa dig +short +tcp big.example.org TXT
expect "status: NXDOMAIN" dig absent.example.org
# Names of both families, asked from one socket as libc does.
expect 10.96.0.80 dig +short nginx.default.svc.cluster.local A nginx.default.svc.cluster.local AAAA
# What an operator looks at.
expect OK curl -s -m 5 http://127.0.0.1:8080/health
expect 'coredns_dns_requests_total' curl -s -m 5 http://127.0.0.1:9153/metrics

if ((failed)); then sed 's/^/  catena: /' "$work/catena.log"; fi
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
