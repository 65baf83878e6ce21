"""The calls below /_control: users, settings, faults, hooks, the log. They are never faulted and not logged."""
import json

import faults
from common import reply
from store import now_us, parse_time


class Control:
    def __init__(self, server):
        self.server = server
        self.calls = {("POST", "reset"): self.reset, ("POST", "users"): self.add_users, ("POST", "set"): self.set,
                      ("POST", "fault"): self.fault, ("POST", "hook"): self.hook, ("GET", "log"): self.log,
                      ("GET", "users"): self.users, ("GET", "stats"): self.stats, ("GET", "settings"): self.settings}

    def handle(self, req):
        call = self.calls.get((req.method, req.path[len("/_control/"):].rstrip("/")))
        if call is None:
            return reply(404, {"error": "no such control call"})
        try:
            body = json.loads(req.body) if req.body else {}
            if not isinstance(body, dict):
                raise ValueError("the body must be an object")
            if req.method == "GET":
                body = dict(req.pairs)
            return reply(200, call(body))
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            return reply(400, {"error": "%s: %s" % (type(e).__name__, e)})

    def provider(self, name):
        if name not in self.server.providers:
            raise KeyError("no such provider: %r" % (name,))
        return self.server.providers[name]

    def reset(self, body):
        name = body.get("provider")
        for p in self.server.providers.values() if name is None else [self.provider(name)]:
            p.reset()
        self.server.faults.forget(None if name is None else "/" + name)
        self.server.hooks.forget(None if name is None else "/" + name)
        if name is None:
            self.server.log.clear()
        else:
            keep = [e for e in self.server.log if e[1] != name]
            self.server.log.clear()
            self.server.log.extend(keep)
        return {"ok": True}

    def add_users(self, body):
        p = self.provider(body.get("provider"))
        if "raw" in body:
            return {"ids": [p.add_raw(o).id for o in body["raw"]]}
        if "users" in body:
            return {"ids": [self.create(p, f).id for f in body["users"]]}
        count, start = int(body["count"]), int(body.get("start", 0))
        step = int(float(body.get("step_ms", 1000)) * 1000)
        created = parse_time(body.get("created_at"))
        if created is None:
            created = now_us() - count * step
        return {"count": p.store.fill(count, start, created, step, body.get("template"))}

    @staticmethod
    def create(p, fields):
        return p.store.put_fields(fields, {"via": "control"})

    def set(self, body):
        p = self.provider(body.pop("provider", None))
        p.configure(body)
        return p.set

    def settings(self, body):
        return self.provider(body.get("provider")).set

    def fault(self, body):
        faults.check(body)
        self.server.faults.add(body)
        return {"ok": True}

    def hook(self, body):
        unknown = set(body["do"]) - {"delete", "create", "update", "expire_tokens", "set", "provider"}
        if unknown:
            raise ValueError("a hook cannot do %s" % ", ".join(sorted(unknown)))
        self.server.hooks.add(body)
        return {"ok": True}

    def act(self, name, do):
        """What a hook does, just before the answer to the request that it matched."""
        p = self.server.providers.get(do.get("provider", name))
        if p is None:
            return
        for uid in do.get("delete", ()):
            u = p.store.by_id.get(uid)
            if u is not None:
                p.store.remove(u, {"via": "control"})
        for fields in list(do.get("create", ())) + list(do.get("update", ())):
            self.create(p, fields)
        if do.get("expire_tokens"):
            p.expire()
        if do.get("set"):
            p.configure(do["set"])

    def log(self, body):
        want, out = body.get("provider"), []
        for e in self.server.log:
            if want is not None and e[1] != want:
                continue
            req = e[0]
            out.append({"method": req.method, "path": req.path, "query": req.query, "headers": req.headers,
                        "body": req.body.decode("utf-8", "replace"), "status": e[2], "ms": e[3], "at": e[4],
                        "connection": req.conn})
        return out

    def users(self, body):
        p = self.provider(body.get("provider"))
        return [{"id": u.id, "email": u.email} for u in p.store.order]

    def stats(self, body):
        s = self.server
        return {"requests": s.requests, "connections": s.connections, "open": s.open, "max_in_flight": s.max_flight,
                "in_flight": s.flight, "pending_faults": len(s.faults.rows), "pending_hooks": len(s.hooks.rows)}
