"""Signpost beside nginx, and signpost with 1, 10,000 and 100,000 domains."""
import argparse, array, contextlib, datetime, os, re, signal, statistics, subprocess, time

from common import (PATH, QUERY, Signpost, Work, answer, can_connect, check_answer, fail, free_port, hostname, machine, note, run,
                    show_count, show_mib, show_ms, show_range, show_rate, table, version, wait_for, write)

DROPPED = ("signpost_request_log_dropped_total", {})

TARGETS = {"nginx": 1.0, "domains": 0.95, "memory": 250 * 1024 * 1024, "start": 3.0}
CONNECTIONS = 64
BESIDE_NGINX = {"keep-alive": "(a) keep-alive", "new connection": "(b) new connection", "resumed": "(b) new connection, resumed session"}
BY_SIZE = {"keep-alive": "TLS, keep-alive", "new connection": "TLS, new connection", "plain": "plain HTTP, keep-alive"}

# wrk asks the resolver for the name in its URL; the name is only for SNI and Host.
WRK_LUA = 'wrk.resolve = function(host, service) wrk.addrs = wrk.lookup("127.0.0.1", service) end\n'

# Loaded into wrk, to measure what a device does. wrk resumes TLS sessions when it reconnects, knows one name, and begins to
# measure after the handshake; this makes every handshake a full one (unless BENCH_RESUME), gives each connection (or each plain request) one of
# BENCH_SPREAD names, in SNI and Host alike, and writes the time from connect() to the first byte of the answer.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
typedef struct ssl_st SSL;
extern int SSL_get_fd(const SSL *), SSL_set_session(SSL *, void *);
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
enum { SNI = 55, FDS = 1 << 16, SAMPLES = 1 << 22, DIGITS = 6 };
static struct { uint64_t began; int number; } at[FDS];
static uint32_t sample[SAMPLES];
static unsigned samples, threads, spread;
static int resume;
static __thread uint64_t state;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}
static int draw(void) {
  if (!state) state = (__atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15ull) ^ now();
  state ^= state << 13; state ^= state >> 7; state ^= state << 17;
  return 1 + (int)(state % spread);
}
static void number(char *name, int n) {
  for (int i = DIGITS - 1; i >= 0; i--, n /= 10) name[i] = '0' + n % 10;
}
static const void *renamed(const void *from, size_t size, int n, char *to, size_t room) {
  const char *host = memmem(from, size, "Host: bench-", 12);
  if (!host || size > room) return from;
  memcpy(to, from, size);
  number(to + (host - (const char *)from) + 12, n);
  return to;
}
__attribute__((constructor)) static void begin(void) {
  const char *n = getenv("BENCH_SPREAD");
  spread = n ? atoi(n) : 1;
  resume = getenv("BENCH_RESUME") != NULL;
}
__attribute__((destructor)) static void end(void) {
  const char *path = getenv("BENCH_LATENCIES");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (file) { fwrite(sample, sizeof *sample, samples < SAMPLES ? samples : SAMPLES, file); fclose(file); }
}
int connect(int fd, const struct sockaddr *address, socklen_t size) {
  static __typeof__(&connect) real;
  if (!real) real = REAL(connect);
  if (fd < FDS) { at[fd].began = now(); at[fd].number = 0; }
  return real(fd, address, size);
}
extern int SSL_clear(SSL *ssl);
int SSL_clear(SSL *ssl) {
  static __typeof__(&SSL_clear) real;
  if (!real) real = REAL(SSL_clear);
  int result = real(ssl);
  if (!resume) SSL_set_session(ssl, NULL);
  return result;
}
extern long SSL_ctrl(SSL *ssl, int command, long larg, void *parg);
long SSL_ctrl(SSL *ssl, int command, long larg, void *parg) {
  static __typeof__(&SSL_ctrl) real;
  char name[256];
  int fd;
  if (!real) real = REAL(SSL_ctrl);
  if (command == SNI && parg && (fd = SSL_get_fd(ssl)) >= 0 && fd < FDS && !strncmp(parg, "bench-", 6)) {
    if (!at[fd].number) at[fd].number = draw();
    snprintf(name, sizeof name, "%s", (char *)parg);
    number(name + 6, at[fd].number);
    parg = name;
  }
  return real(ssl, command, larg, parg);
}
extern int SSL_write(SSL *ssl, const void *from, int size);
int SSL_write(SSL *ssl, const void *from, int size) {
  static __typeof__(&SSL_write) real;
  char room[2048];
  if (!real) real = REAL(SSL_write);
  return real(ssl, renamed(from, size, at[SSL_get_fd(ssl)].number, room, sizeof room), size);
}
extern int SSL_read(SSL *ssl, void *to, int size);
int SSL_read(SSL *ssl, void *to, int size) {
  static __typeof__(&SSL_read) real;
  if (!real) real = REAL(SSL_read);
  int result = real(ssl, to, size), fd = SSL_get_fd(ssl);
  if (result > 0 && at[fd].began) {
    unsigned i = __atomic_fetch_add(&samples, 1, __ATOMIC_RELAXED);
    if (i < SAMPLES) sample[i] = now() - at[fd].began;
    at[fd].began = 0;
  }
  return result;
}
ssize_t write(int fd, const void *from, size_t size) {
  static __typeof__(&write) real;
  char room[2048];
  if (!real) real = REAL(write);
  return real(fd, size > 4 && !memcmp(from, "GET ", 4) ? renamed(from, size, draw(), room, sizeof room) : from, size);
}
"""


def main():
    options = parse_options()
    work = Work()
    prepare_wrk(work)
    nginx = Nginx(work)
    nginx.start()
    check_answer("nginx", nginx.https, 1)
    servers = []
    if not options.nginx_only:
        for count in options.domains:
            servers.append(Signpost(work, count))
            servers[-1].set_up()
    report = Report(options)
    smallest = servers[:1]
    report.side_by_side = compare(options, work, [nginx, *smallest], list(BESIDE_NGINX))
    nginx.stop()
    if servers:
        for server in servers:
            report.starts[server.count] = [server.time_to_first_answer() for _ in range(options.starts)]
            time.sleep(5)
            report.memory_at_rest[server.count] = server.memory()
        report.by_size = compare(options, work, servers, list(BY_SIZE))
        for server in servers:
            report.memory_after_load[server.count] = server.memory()
            report.dropped[server.count] = server.metric(DROPPED)
            report.set_up[server.count] = server.took
            server.stop()
    text = report.markdown()
    print("\n" + text)
    if options.output:
        write(options.output, serving=text)


def parse_options():
    parser = argparse.ArgumentParser(prog="script/bench")
    parser.add_argument("--quick", action="store_true", help="short rounds, 1 and 1,000 domains")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of one round")
    parser.add_argument("--domains", type=lambda text: sorted({int(n) for n in text.split(",")}), help="for example 1,10000,100000")
    parser.add_argument("--output", help="the file to write; docs/benchmarks.md, or none with --quick")
    parser.add_argument("--nginx-only", action="store_true", help="without signpost")
    options = parser.parse_args()
    quick = options.quick
    options.rounds = options.rounds or (3 if quick else 5)
    options.seconds = options.seconds or (3 if quick else 10)
    options.domains = options.domains or ([1, 1000] if quick else [1, 10_000, 100_000])
    options.starts = 3 if quick else 5
    if not options.output and not quick and not options.nginx_only:
        options.output = "docs/benchmarks.md"
    return options


# --- The measurements


def compare(options, work, servers, modes):
    """Rounds of every mode on every server in turn, so that what else the machine does meets all of them alike."""
    results = {}
    for mode in modes:
        for server in servers:
            with alone(server, servers):
                wrk(work, server, mode, 1)
        for round_number in range(1, options.rounds + 1):
            for server in servers:
                with alone(server, servers):
                    result = wrk(work, server, mode, options.seconds)
                results.setdefault((mode, server.name), []).append(result)
                note(f"{mode}, round {round_number} of {options.rounds}: {server.name} {result['rate']:,.0f}/s, "
                     f"p50 {show_ms(result['p50'])}, p99 {show_ms(result['p99'])}")
                server.settle()
    return {key: summary(rounds) for key, rounds in results.items()}


@contextlib.contextmanager
def alone(server, servers):
    """The other signposts sleep: what they still have to write of their own last round is no load on this one's."""
    others = [other.process.pid for other in servers if other is not server and isinstance(other, Signpost)]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def prepare_wrk(work):
    work.lua = work.path / "wrk.lua"
    work.lua.write_text(WRK_LUA)
    work.shim = work.path / "shim.so"
    subprocess.run(["cc", "-O2", "-Wall", "-shared", "-fPIC", "-x", "c", "-o", str(work.shim), "-", "-ldl"],
                   input=SHIM, text=True, check=True)


def wrk(work, server, mode, seconds):
    scheme, port = ("http", server.http) if mode == "plain" else ("https", server.https)
    latencies = work.path / "latencies"
    command = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", str(work.lua)]
    if mode in ("new connection", "resumed"):
        command += ["-H", "Connection: close"]
    command.append(f"{scheme}://{hostname(1)}:{port}{PATH}{QUERY}")
    environment = os.environ | {"LD_PRELOAD": str(work.shim), "BENCH_SPREAD": str(server.count), "BENCH_LATENCIES": str(latencies)}
    if mode == "resumed":
        environment["BENCH_RESUME"] = "1"
    out = subprocess.run(command, env=environment, capture_output=True, text=True)
    if out.returncode != 0 or "Requests/sec" not in out.stdout:
        fail(f"wrk against {server.name} failed: {out.stdout}{out.stderr}")
    if wrong := re.search(r"Non-2xx or 3xx responses: (\d+)", out.stdout):
        fail(f"{server.name} gave {wrong[1]} answers that are not 200")
    if errors := re.search(r"Socket errors: (.*)", out.stdout):
        note(f"{server.name}, {mode}: socket errors: {errors[1]}")
    result = {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out.stdout)[1])}
    if mode in ("new connection", "resumed"):
        samples = array.array("I", latencies.read_bytes())
        ordered = sorted(samples)
        result |= {"p50": ordered[len(ordered) // 2] / 1e6, "p99": ordered[len(ordered) * 99 // 100] / 1e6}
    else:
        result |= {"p50": wrk_percentile(out.stdout, 50), "p99": wrk_percentile(out.stdout, 99)}
    return result


def wrk_percentile(text, percent):
    value, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", text, re.M).groups()
    return float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def summary(rounds):
    middle = {key: statistics.median(r[key] for r in rounds) for key in ("rate", "p50", "p99")}
    return middle | {"low": min(r["rate"] for r in rounds), "high": max(r["rate"] for r in rounds)}


# --- What is measured

class Nginx:
    """The same JSON from memory, over TLS 1.3 with a P-256 certificate, with its access log on."""

    name, count = "nginx", 1

    def __init__(self, work):
        self.work, self.https = work, free_port()
        self.path = work.path / "nginx"

    def start(self):
        self.path.mkdir()
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", f"/CN={hostname(1)}", "-addext", f"subjectAltName=DNS:{hostname(1)}",
             "-keyout", str(self.path / "key.pem"), "-out", str(self.path / "certificate.pem")])
        temporary = "".join(f"  {kind}_temp_path {self.path}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.path / "nginx.conf").write_text(f"""
worker_processes 2;
daemon off;
pid {self.path}/nginx.pid;
error_log {self.path}/error.log;
events {{ worker_connections 4096; }}
http {{
{temporary}  access_log {self.path}/access.log combined;
  keepalive_requests 1000000000;
  server_tokens off;
  server {{
    listen 127.0.0.1:{self.https} ssl backlog=1024;
    server_name {hostname(1)};
    ssl_certificate {self.path}/certificate.pem;
    ssl_certificate_key {self.path}/key.pem;
    ssl_protocols TLSv1.3;
    location = {PATH} {{
      default_type application/json;
      add_header Cache-Control no-store;
      add_header X-Content-Type-Options nosniff;
      return 200 '{answer(1)}';
    }}
  }}
}}
""")
        self.process = self.work.spawn(
            ["nginx", "-p", str(self.path), "-c", str(self.path / "nginx.conf"), "-e", str(self.path / "error.log")], self.path / "log")
        wait_for("nginx", 10, lambda: can_connect(self.https), self)

    def settle(self):
        time.sleep(1)

    def stop(self):
        self.work.stop(self.process, self.name)


# --- The report


class Report:
    def __init__(self, options):
        self.options = options
        self.side_by_side, self.by_size = {}, {}
        self.starts, self.memory_at_rest, self.memory_after_load, self.dropped, self.set_up = {}, {}, {}, {}, {}

    def markdown(self):
        parts = [
            "# Benchmarks",
            f"Written by `script/bench` on {datetime.date.today()}. Every figure is the median of {self.options.rounds} rounds "
            f"of {self.options.seconds} s; the rounds of what is compared take turns.",
            self.targets(), self.against_nginx(), self.sizes(), self.method(), self.machine(),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def targets(self):
        if not self.by_size:
            return ""
        small, large = self.options.domains[0], self.options.domains[-1]
        rows = []
        for mode, what in BESIDE_NGINX.items():
            ratio = self.ratio(mode)
            rows.append((f"{what}: at least nginx's rate", f"{ratio:.2f} ×", ratio / TARGETS["nginx"] - 1))
        if small != large:
            for mode, what in BY_SIZE.items():
                ratio = self.of_size(mode, large)["rate"] / self.of_size(mode, small)["rate"]
                rows.append((f"{large:,} domains within 5 % of {small:,}: {what}", f"{100 * (ratio - 1):+.1f} %", ratio / TARGETS["domains"] - 1))
        memory = max(self.memory_at_rest[large]["VmRSS"], self.memory_after_load[large]["VmRSS"])
        rows.append((f"{large:,} domains with certificates: at most 250 MiB", show_mib(memory), TARGETS["memory"] / memory - 1))
        start = statistics.median(self.starts[large])
        rows.append((f"{large:,} domains: first answer within 3 s of start", f"{start:.2f} s", TARGETS["start"] / start - 1))
        return table("## Targets", ["target", "measured", ""],
                     [(what, value, "met" if margin >= 0 else f"**missed** by {-100 * margin:.0f} %") for what, value, margin in rows])

    def against_nginx(self):
        rows = []
        for mode, name in BESIDE_NGINX.items():
            nginx, ours = self.side_by_side[mode, "nginx"], self.ours(mode)
            for key, what, show in (("rate", "requests/s", show_rate), ("p50", "p50", show_ms), ("p99", "p99", show_ms)):
                ratio = f"{ours[key] / nginx[key]:.2f}" if ours else "–"
                rows.append((f"{name}: {what}", show(nginx[key]), show(ours[key]) if ours else "–", ratio))
            rows.append((f"{name}: slowest and fastest round", show_range(nginx), show_range(ours) if ours else "–", ""))
        return table("## Beside nginx", ["TLS 1.3, P-256", "nginx", "signpost", "signpost ÷ nginx"], rows)

    def sizes(self):
        if not self.by_size:
            return ""
        sizes, rows = self.options.domains, []
        for mode, what in BY_SIZE.items():
            for key, unit, show in (("rate", "requests/s", show_rate), ("p50", "p50", show_ms), ("p99", "p99", show_ms)):
                rows.append((f"{what}: {unit}", *(show(self.of_size(mode, n)[key]) for n in sizes)))
        rows.append(("resident memory after start", *(show_mib(self.memory_at_rest[n]["VmRSS"]) for n in sizes)))
        rows.append(("resident memory after the load", *(show_mib(self.memory_after_load[n]["VmRSS"]) for n in sizes)))
        rows.append(("its peak since start", *(show_mib(self.memory_after_load[n]["VmHWM"]) for n in sizes)))
        rows.append(("start to first answer", *(f"{statistics.median(self.starts[n]):.2f} s" for n in sizes)))
        rows.append(("slowest such start", *(f"{max(self.starts[n]):.2f} s" for n in sizes)))
        rows.append(("request rows dropped under the load", *(show_count(self.dropped[n]) for n in sizes)))
        for key, what in (("import", "time to import"), ("verify", "time to verify"), ("certificates", "time until the last certificate")):
            rows.append((what, *(f"{self.set_up[n][key]:.1f} s" for n in sizes)))
        return table("## By number of domains", ["domains", *(f"{n:,}" for n in sizes)], rows)

    def method(self):
        return "\n".join([
            "## How",
            "",
            "Server and load share the machine, over loopback, and no other server runs meanwhile. nginx: 2 workers, the answer from memory (`return 200`), `access_log` to a",
            "file in the `combined` format, TLS 1.3 only, a P-256 certificate, no limit of requests on a connection. signpost: as it comes,",
            "with its request log written to its embedded PostgreSQL on the same machine, and certificates of its internal CA (P-256).",
            "",
            "```",
            f"wrk -t2 -c{CONNECTIONS} -d{self.options.seconds}s --latency [-H 'Connection: close'] \\",
            f"  'https://{hostname(1)}:PORT{PATH}{QUERY}'",
            "```",
            "",
            "- *keep-alive*: 64 connections that stay; p50 and p99 are wrk's, from request to answer.",
            "- *new connection*: a TCP connection, a full TLS handshake and one request, as of a device that asks for the first time; p50 and",
            "  p99 are from `connect()` to the first byte of the answer. Left alone, wrk resumes its TLS sessions where the server allows it,",
            "  which saves a signature: that is *resumed session*.",
            "- *plain HTTP*: 64 connections that stay, without TLS; each request is for another domain.",
            "- With many domains, each connection (with plain HTTP each request) is for one chosen at random, in SNI and `Host` alike.",
            "- Each domain has a client, an Intune tenant and a certificate of its own.",
            "- Memory is that of the signpost process (`VmRSS`, `VmHWM`); PostgreSQL's is its own.",
            "- A start is measured from `exec` to the first right answer over https for a domain chosen at random, embedded PostgreSQL included.",
        ])

    def machine(self):
        return machine(
            ("nginx", version(["nginx", "-v"], r"nginx/(\S+)") + ", " + version(["nginx", "-V"], r"built with (OpenSSL \S+)")),
            ("wrk", version(["wrk", "-v"], r"wrk (?:debian/)?(\S+)")),
            signpost=bool(self.by_size),
        )

    def ours(self, mode):
        return next((value for (m, name), value in self.side_by_side.items() if m == mode and name != "nginx"), None)

    def ratio(self, mode):
        return self.ours(mode)["rate"] / self.side_by_side[mode, "nginx"]["rate"]

    def of_size(self, mode, count):
        return next(value for (m, name), value in self.by_size.items() if m == mode and name.startswith(f"signpost with {count:,} "))


if __name__ == "__main__":
    main()
