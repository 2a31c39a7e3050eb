"""What people and programs wait for: pages and lists of an organisation with many domains and a month of requests."""
import argparse, datetime, email, http.client, os, re, socketserver, statistics, threading, time, urllib.parse

from common import Signpost, Work, fail, free_port, hostname, machine, note, run, show_ms, table, wait_for, write

TARGET = 0.020
EMAIL, PASSWORD = "bench@example.com", "a hat for every goose"
DAYS = 30

# Rows as the shipper writes them: ids of version 7 in the order of their times, partitions by the day, and counts beside them, hour by hour.
DAY_SQL = """
create table if not exists requests_{name} partition of requests for values from ('{day} 00:00+00') to ('{next} 00:00+00');
insert into requests (request_id, at, organisation_id, client_id, domain_id, hostname, model_family, user_digest, outcome, status, mdm_server_id,
                      user_agent, client_network, tls)
select encode(substring(int8send((extract(epoch from at) * 1000)::bigint) from 3) || decode('7' || substring(md5(n::text), 1, 3) || '8' || substring(md5(n::text), 4, 15), 'hex'), 'hex')::uuid,
       at, d.organisation_id, d.client_id, d.domain_id, d.hostname, (array['iPhone', 'iPad', 'Mac', 'AppleTV', 'Watch', 'RealityDevice'])[1 + n % 6],
       sha256(int4send(n % 5000)), case when n % 50 = 0 then 'rejected' else 'served' end, case when n % 50 = 0 then 403 else 200 end, d.mdm_server_id,
       'DeviceManagementClient/1.0', '198.51.100.0/24', 'TLSv1.3'
  from (select n, least('{day} 00:00+00'::timestamptz + n * ({seconds} / {rows}::float8) * interval '1 second', now()) as at from generate_series(0, {rows} - 1) n) r
  join bench_domains d on d.number = (hashint4(n + {offset}) & 2147483647) % {domains};
"""
COUNTS_SQL = """
begin;
truncate request_counts, request_totals;
insert into request_counts (hour, organisation_id, client_id, domain_id, hostname, model_family, outcome, count)
select date_trunc('hour', at, 'UTC'), organisation_id, client_id, domain_id, hostname, model_family, outcome, count(*) from requests group by 1, 2, 3, 4, 5, 6, 7 order by 1;
insert into request_totals (organisation_id, client_id, hour, model_family, outcome, count)
select organisation_id, coalesce(client_id, '00000000-0000-0000-0000-000000000000'), hour, model_family, outcome, sum(count)
  from request_counts group by grouping sets ((organisation_id, hour, model_family, outcome), (organisation_id, client_id, hour, model_family, outcome)) order by hour;
commit;
analyze;
checkpoint;
"""


def main():
    options = parse_options()
    work = Work()
    server = Signpost(work, options.domains)
    mails = Mails()
    server.environment |= {"SIGNPOST_SMTP_URL": f"smtp://127.0.0.1:{mails.port}", "SIGNPOST_MAIL_FROM": "Signpost <signpost@example.com>"}
    server.set_up()
    fill(server, options)
    # Nothing of what was written is in memory that is not asked for.
    server.stop()
    server.start()
    wait_for(server.name, 60, server.is_ready, server)
    visitor = Visitor(server, mails)
    report = Report(options)
    middle = hostname(options.domains // 2)
    client_id = psql(server, f"select client_id from domains where hostname = '{middle}'").strip()
    for name, path in pages(middle, client_id):
        visitor.get(path)  # not counted: what is asked for first comes from the disk
        times = []
        for _ in range(options.times):
            began = time.monotonic()
            size = len(visitor.get(path))
            times.append(time.monotonic() - began)
        report.pages.append((name, path, times, size))
        note(f"{name}: {show_ms(statistics.median(times))}, at most {show_ms(max(times))}, {size / 1024:.0f} KiB")
    report.exports = [("the console, NDJSON", *export(server, visitor, "/requests/export.ndjson")),
                      ("the API, CSV", *export(server, visitor, "/api/v1/requests", "text/csv"))]
    server.stop()
    text = report.markdown()
    print("\n" + text)
    if options.output:
        write(options.output, pages=text)


def parse_options():
    parser = argparse.ArgumentParser(prog="script/bench --pages")
    parser.add_argument("--quick", action="store_true", help="few domains and rows, and no file")
    parser.add_argument("--domains", type=int)
    parser.add_argument("--rows", type=int, help="of the request log")
    parser.add_argument("--times", type=int, default=50, help="that each page is asked for")
    parser.add_argument("--output", help="the file to write; docs/benchmarks.md, or none with --quick")
    options = parser.parse_args()
    options.domains = options.domains or (1_000 if options.quick else 10_000)
    options.rows = options.rows or (100_000 if options.quick else 10_000_000)
    if not options.output and not options.quick:
        options.output = "docs/benchmarks.md"
    return options


def pages(middle, client_id):
    ago = lambda **back: (datetime.datetime.now(datetime.UTC) - datetime.timedelta(**back)).strftime("%Y-%m-%dT%H:00:00Z")
    half, day = ago(days=DAYS // 2), ago(days=1)
    since = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=DAYS)).strftime("%Y-%m-%dT00:00:00Z")
    return [
        ("overview, with the plots of a day and of 30 days", "/"),
        ("one domain, with its 30 days by family", f"/domains/{middle}"),
        ("all domains, the first page", "/domains"),
        ("the domains of one status", "/domains?status=active"),
        ("domains whose name holds a word", "/domains?q=bench-0099"),
        ("all clients, the first page", "/clients"),
        ("one client", f"/clients/{client_id}"),
        ("newest requests", "/requests"),
        ("requests of one domain", f"/requests?domain={middle}"),
        ("rejected requests from Watches", "/requests?family=Watch&outcome=rejected"),
        ("API: newest 50 of one client", f"/api/v1/requests?client_id={client_id}&limit=50"),
        ("API: newest 100 of one domain, by its name", f"/api/v1/requests?domain={middle}&limit=100"),
        ("API: rejected requests from Watches", "/api/v1/requests?model_family=Watch&outcome=rejected"),
        ("API: what nobody was told", "/api/v1/requests?outcome=redirected"),
        ("API: a page 15 days ago", f"/api/v1/requests?until={half}&limit=100"),
        ("API: everything's 30 days by family and day", f"/api/v1/requests/summary?group_by=model_family,day&since={since}"),
        ("API: everything's 30 days by hour and outcome", f"/api/v1/requests/summary?group_by=hour,outcome&since={since}"),
        ("API: one day by domain", f"/api/v1/requests/summary?group_by=domain&since={day}"),
    ]


# --- The rows


def psql(server, sql):
    socket = server.path / "state" / "postgres" / "run"
    return run([os.environ["BENCH_POSTGRES"] + "/psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", str(socket), "-U", "signpost", "signpost"], input=sql)


def fill(server, options):
    began = time.monotonic()
    psql(server, "create table bench_domains as select row_number() over (order by hostname) - 1 as number, d.organisation_id, d.client_id, d.domain_id, "
                 "d.hostname, null::uuid as mdm_server_id from domains d; create unique index on bench_domains (number); analyze bench_domains; "
                 "delete from request_counts; delete from request_totals; delete from requests;")
    today = datetime.datetime.now(datetime.UTC).date()
    for back in range(DAYS - 1, -1, -1):
        day = today - datetime.timedelta(days=back)
        seconds = 86_400 if back else max(60, (datetime.datetime.now(datetime.UTC) - datetime.datetime.combine(day, datetime.time(), datetime.UTC)).seconds)
        psql(server, DAY_SQL.format(name=day.strftime("%Y%m%d"), day=day, next=day + datetime.timedelta(days=1), seconds=seconds,
                                    rows=options.rows // DAYS, offset=back * 7919, domains=options.domains))
    note(f"{options.rows:,} requests written in {time.monotonic() - began:.0f} s")
    psql(server, COUNTS_SQL)
    psql(server, "drop table bench_domains")
    note(f"counted after {time.monotonic() - began:.0f} s: {int(psql(server, 'select count(*) from request_counts')):,} counts")


# --- Somebody who is signed in


class Mails(socketserver.ThreadingTCPServer):
    """Takes every mail."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self):
        self.port, self.texts = free_port(), []
        super().__init__(("127.0.0.1", self.port), Smtp)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Smtp(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 bench")
        while line := self.rfile.readline():
            word = line.split(b" ")[0].strip().upper()
            if word == b"DATA":
                self.say("354 go on")
                self.server.texts.append(self.message())
            self.say({b"EHLO": "250 bench", b"QUIT": "221 bye"}.get(word, "250 ok"))
            if word == b"QUIT":
                return

    def message(self):
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        parsed = email.message_from_bytes(b"".join(lines))
        parts = [part for part in parsed.walk() if part.get_content_type() == "text/plain"]
        return b"".join(part.get_payload(decode=True) for part in parts).decode()

    def say(self, line): self.wfile.write(line.encode() + b"\r\n")


class Visitor:
    """Sets a password by mail, and signs in with it."""

    def __init__(self, server, mails):
        self.server, self.cookies = server, {}
        self.connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=120)
        self.submit("/password/forgotten", {"email": EMAIL})
        wait_for("the mail", 30, lambda: mails.texts, server)
        link = re.search(r"https?://[^/\s]+(/password/new/\S+)", mails.texts[-1])[1]
        self.submit(link, {"password": PASSWORD})
        if self.submit("/sign-in", {"email": EMAIL, "password": PASSWORD}) != "/":
            fail("nobody was signed in")

    def get(self, path):
        status, text, _ = self.ask("GET", path)
        if status != 200:
            fail(f"GET {path}: {status} {text[:500]}")
        return text

    def submit(self, path, fields):
        token = re.search(r'name="csrf" value="([^"]+)"', self.get(path))[1]
        status, text, location = self.ask("POST", path, urllib.parse.urlencode(fields | {"csrf": token}))
        if status != 303:
            fail(f"POST {path}: {status} {text[:3000]}")
        return location

    def ask(self, method, path, body=None):
        headers = {"Host": self.server.portal, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if path.startswith("/api/"):
            headers["Authorization"] = f"Bearer {self.server.token}"
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        for name, cookie in response.getheaders():
            if name.lower() == "set-cookie":
                key, _, value = cookie.split(";")[0].partition("=")
                self.cookies[key] = value
        return response.status, response.read().decode(), response.headers.get("Location")


def export(server, visitor, path, accept=None):
    """Rows, seconds, the server's memory before, and at most meanwhile and after."""
    before, began, lines = server.memory()["VmRSS"], time.monotonic(), 0
    headers = {"Host": server.portal, "Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())}
    if accept:
        headers = {"Host": server.portal, "Authorization": f"Bearer {server.token}", "Accept": accept}
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=600)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    most = before
    while chunk := response.read(1 << 20):
        lines += chunk.count(b"\n")
        most = max(most, server.memory()["VmRSS"])
    took, after = time.monotonic() - began, server.memory()["VmRSS"]
    note(f"exported {lines:,} rows in {took:.1f} s, {(most - before) / 2**20:+.1f} MiB")
    return lines, took, before, most, after


# --- The report


class Report:
    def __init__(self, options):
        self.options, self.pages, self.exports = options, [], []

    def markdown(self):
        options = self.options
        rows = []
        for name, _, times, size in self.pages:
            middle = statistics.median(times)
            rows.append((name, show_ms(middle), show_ms(sorted(times)[len(times) * 95 // 100]), f"{size / 1024:.0f} KiB",
                         "met" if middle <= TARGET else f"**missed** by {100 * (middle / TARGET - 1):.0f} %"))
        mib = lambda size: f"{size / 2**20:.0f} MiB"
        exports = [(name, f"{lines:,}", f"{took:.1f} s", mib(before), mib(most), mib(after)) for name, lines, took, before, most, after in self.exports]
        return "\n\n".join([
            "# Pages and lists",
            f"Written by `script/bench --pages` on {datetime.date.today()}: one organisation with {options.domains:,} domains of as many clients, and "
            f"{options.rows:,} requests within {DAYS} days. Each is asked for {options.times} times over one connection; the target is {show_ms(TARGET)} for half of them.",
            table("## Answers", ["", "median", "95 of 100", "size", ""], rows),
            table("## Exports of all requests", ["", "lines", "", "memory before", "at most", "after"], exports),
            machine(),
        ]) + "\n"


if __name__ == "__main__":
    main()
