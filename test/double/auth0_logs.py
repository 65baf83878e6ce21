"""Auth0: what tells of changes - tenant logs by checkpoint, the event stream - and the export of all users."""
import gzip
import json
import time
from urllib.parse import urlencode

from common import Fail, Response, dumps, number, reply
from store import iso, now_us

FIRST = 90020260000000000000000000000000000
KINDS = {"create": "user.created", "update": "user.updated", "delete": "user.deleted"}


class Logs:
    def log_rows(self):
        keep = self.set["logs_retention_s"]
        rows = self.store.changes
        if keep is None:
            return rows
        edge = now_us() - int(keep * 1e6)
        return [c for c in rows if c["t"] >= edge]

    def log_item(self, c):
        log_id = str(FIRST + c["n"])
        out = {"date": iso(c["t"]), "log_id": log_id, "_id": log_id, "client_id": "m2m", "client_name": "authsync",
               "ip": "203.0.113.1", "connection": "Username-Password-Authentication"}
        if c["via"] == "control":                      # the user did it himself
            out.update(type={"create": "ss", "update": "sv", "delete": "sdu"}[c["op"]], user_id=c["id"],
                       user_name=c["email"])
            return out
        # an administrator did: user_id names him, the subject stands in the path or in the answer
        body = c["user"] if c["op"] == "create" else {}
        out.update(type="sapi", description=KINDS[c["op"]], user_id="auth0|0administrator0", details={
            "request": {"method": c["method"].lower(), "path": c["path"][len("/auth0"):], "query": {}},
            "response": {"statusCode": c["status"], "body": body if body else {}}})
        return out

    def logs(self, req):
        take = number(req.arg("take", req.arg("per_page", "50")), 1)
        if take is None or take > 100:
            raise Fail(self.bad("invalid_query_string", "Query validation error: 'take' is out of range"))
        rows = self.log_rows()
        start = req.arg("from")
        if start is None:
            page = number(req.arg("page", "0")) or 0
            if req.arg("sort") == "date:-1":
                rows = rows[::-1]
            return self.ok([self.log_item(c) for c in rows[page * take:(page + 1) * take]])
        n = int(start) - FIRST if start.isdigit() else None
        oldest = rows[0]["n"] if rows else len(self.store.changes) + 1
        if n is None or (n + 1 < oldest and self.set["logs_expired_status"] != 200):
            status = self.set["logs_expired_status"] if n is not None else 400
            raise Fail(self.err(status, "Not Found" if status == 404 else "Bad Request", "Invalid log checkpoint"))
        found = [c for c in rows if c["n"] > n][:take]
        to = str(FIRST + found[-1]["n"]) if found else start
        r = self.ok([self.log_item(c) for c in found])
        link = "%s/auth0/api/v2/logs?%s" % (req.host, urlencode({"from": to, "take": take}))
        r.headers.append(("Link", '<%s>; rel="next"' % link))
        return r

    def events(self, req):
        """What has happened since, as an event stream that the server then closes; the client comes again."""
        want = set(req.args("event_type")) or set(KINDS.values())
        start = req.header("last-event-id") or req.arg("from") or "0"
        rows = self.log_rows()
        oldest = rows[0]["n"] if rows else 1
        if not start.isdigit() or int(start) > len(self.store.changes) or (int(start) and int(start) + 1 < oldest):
            raise Fail(self.err(410, "Gone", "The offset is no longer available"))
        out = [b":connected\n\nretry: 1000\n\n"]
        for c in rows:
            if c["n"] <= int(start):
                continue
            kind = KINDS[c["op"]]
            if kind not in want:
                out.append(b'event: offset-only\nid: %d\ndata: {"offset":"%d"}\n\n' % (c["n"], c["n"]))
                continue
            event = {"specversion": "1.0", "type": kind, "source": "urn:auth0:double.localhost", "time": iso(c["t"]),
                     "id": "evt_%022d" % c["n"], "data": {"object": c["user"]}, "a0tenant": "double",
                     "a0stream": "est_double"}
            data = dumps({"offset": str(c["n"]), "event": event})
            out.append(b"event: %s\nid: %d\ndata: %s\n\n" % (kind.encode(), c["n"], data))
        out.append(b": heartbeat\n\n")
        req.close = True
        return Response(200, b"".join(out), (), "text/event-stream")

    # -- export: pending at first, completed when asked again; the link lives for a minute

    def export(self, req):
        try:
            p = json.loads(req.body or b"{}")
            fields = [f["name"] for f in p.get("fields") or ()] or ["user_id", "email", "name"]
            if not all(isinstance(f, str) for f in fields) or not isinstance(p.get("limit"), (int, type(None))):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Fail(self.bad("invalid_body", "Invalid request payload JSON format")) from None
        jobs = self.jobs
        job = {"id": "job_%d" % (len(jobs) + 1), "type": "users_export", "status": "pending", "created_at": iso(now_us())}
        jobs[job["id"]] = dict(job, fields=fields, limit=p.get("limit"))
        return self.ok(job)

    def job(self, req, uid):
        job = self.jobs.get(uid)
        if job is None:
            raise Fail(self.err(404, "Not Found", "The job does not exist", "inexistent_job"))
        out = {k: job[k] for k in ("id", "type", "created_at", "status")}
        if job.get("asked"):
            job["until"] = time.monotonic() + 60
            out.update(status="completed", location="%s/auth0/export/%s.gz" % (req.host, uid))
        job["asked"] = True
        return self.ok(out)

    def download(self, req, uid):
        job = self.jobs.get(uid)
        if job is None or time.monotonic() > job.get("until", 0):
            return reply(403, {"message": "Request has expired"})
        lines = []
        for u in self.store.order[:job["limit"]]:
            row = self.render(u)
            lines.append(dumps({k: row.get(k) for k in job["fields"]} if isinstance(row, dict) else row) + b"\n")
        return Response(200, gzip.compress(b"".join(lines), 1), (), "application/gzip")
