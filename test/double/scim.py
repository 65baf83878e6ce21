"""SCIM 2.0 (RFC 7643, 7644, 9865): /scim/v2.

Settings beyond the common ones: restart_past_end (a startIndex beyond the end begins again, SCIMMY's habit),
max_count (50 like AWS; None: no limit), default_count (20), only_eq (eq and "and" filters only), cursor (RFC 9865),
cursor_life_s, number_status (the status in errors is a number), location (false: no Location header),
items_per_page_asked (itemsPerPage says what was asked), no_last_modified, string_active ("True"), lower_keys
("resources"), omit_empty (no Resources when there are none), etag (If-Match is looked at), patch_204.
"""
import bisect
import json
import time

import scim_write
from common import Fail, Provider, b64url, body_object, reply, unb64
from filters import Logic, Syntax, look_up, parse, single_range
from store import iso, parse_time

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
TOKENS = {"scim-test-token": "write", "scim-read-token": "read"}
SCIM = "application/scim+json"


class Scim(scim_write.Writes, Provider):
    name = "scim"
    email_key = "userName"
    defaults = {"restart_past_end": False, "max_count": None, "default_count": 20, "only_eq": False, "cursor": False,
                "cursor_life_s": 600, "number_status": False, "location": True, "items_per_page_asked": False,
                "no_last_modified": False, "string_active": False, "lower_keys": False, "omit_empty": False,
                "etag": False, "patch_204": False}
    routes = (
        ("GET", r"/v2/ServiceProviderConfig", "config", "read"),
        ("GET", r"/v2/ResourceTypes", "types", "read"),
        ("GET", r"/v2/Schemas", "schemas", "read"),
        ("GET", r"/v2/Users", "list", "read"),
        ("POST", r"/v2/Users/\.search", "search", "read"),
        ("POST", r"/v2/Users", "create", "write"),
        ("GET", r"/v2/Users/([^/]+)", "get", "read"),
        ("PUT", r"/v2/Users/([^/]+)", "replace", "write"),
        ("PATCH", r"/v2/Users/([^/]+)", "patch", "write"),
        ("DELETE", r"/v2/Users/([^/]+)", "delete", "write"),
    )

    def err(self, status, detail, kind=None, headers=()):
        body = {"schemas": [ERROR], "status": status if self.set["number_status"] else str(status)}
        if kind:
            body["scimType"] = kind
        return reply(status, dict(body, detail=detail), headers, SCIM)

    def too_many(self):
        return self.err(429, "Too many requests")

    def no_route(self, req):
        return self.err(404, "Endpoint %s not found" % req.rest)

    def no_method(self, req):
        return self.err(405, "Method not allowed")

    def guard(self, req, scope):
        have = TOKENS.get(req.bearer() or "")
        if have is None or self.set["revoked"]:
            raise Fail(self.err(401, "Authorization is missing or wrong", None,
                                [("WWW-Authenticate", 'Bearer realm="SCIM"')]))
        if scope == "write" and have != "write":
            raise Fail(self.err(403, "The token may only read"))

    # -- discovery

    def config(self, req):
        def on(flag):
            return {"supported": bool(flag)}
        out = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"], "patch": on(True),
               "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
               "filter": {"supported": True, "maxResults": self.set["max_count"] or 10000}, "sort": on(True),
               "changePassword": on(False), "etag": on(self.set["etag"]),
               "authenticationSchemes": [{"type": "oauthbearertoken", "name": "Bearer", "description": "A token"}]}
        if self.set["cursor"]:
            out["pagination"] = {"cursor": True, "index": True, "defaultPaginationMethod": "index",
                                 "defaultPageSize": self.set["default_count"], "cursorTimeout": self.set["cursor_life_s"],
                                 "maxPageSize": self.set["max_count"] or 10000}
        return reply(200, out, ctype=SCIM)

    def types(self, req):
        return self.answer({"totalResults": 1}, [{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
                                                  "id": "User", "name": "User", "endpoint": "/Users", "schema": USER}])

    def schemas(self, req):
        return self.answer({"totalResults": 1}, [{"id": USER, "name": "User", "attributes": []}])

    # -- a user as JSON

    def native(self, u):
        out = {"schemas": [USER], "id": u.id, "userName": u.username or u.email or u.id}
        if u.get("externalId") is not None:
            out["externalId"] = u.get("externalId")
        if u.get("name_parts") is not None:
            out["name"] = u.get("name_parts")
        elif u.name:
            first, _, last = u.name.partition(" ")
            out["name"] = {"formatted": u.name, "givenName": first, "familyName": last}
        if u.get("displayName") or u.name:
            out["displayName"] = u.get("displayName") or u.name
        if u.nickname is not None:
            out["nickName"] = u.nickname
        out["active"] = str(not u.blocked) if self.set["string_active"] else not u.blocked
        if u.get("emails") is not None:
            out["emails"] = u.get("emails")
        elif u.email:
            out["emails"] = [{"value": u.email, "type": "work", "primary": True}]
        if u.get("photos") or u.picture:
            out["photos"] = u.get("photos") or [{"value": u.picture, "type": "photo"}]
        if u.phone:
            out["phoneNumbers"] = [{"value": u.phone, "type": "work"}]
        out.update(u.meta or {})
        out["meta"] = {"resourceType": "User", "created": iso(u.created), "lastModified": iso(u.updated),
                       "version": 'W/"%x"' % u.updated, "location": "/scim/v2/Users/" + u.id}
        if self.set["no_last_modified"]:
            del out["meta"]["lastModified"]
        return out

    # -- lists

    def list(self, req):
        return self.page(req, dict(req.pairs))

    def search(self, req):
        p = body_object(req, self.err(400, "The body is not valid JSON", "invalidSyntax"))
        return self.page(req, {k: ",".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in p.items()})

    def answer(self, numbers, rows):
        out = dict({"schemas": [LIST]}, **numbers)
        key = "resources" if self.set["lower_keys"] else "Resources"
        if rows or not self.set["omit_empty"]:
            out[key] = rows
        return reply(200, out, ctype=SCIM)

    def whole(self, p, name, default):
        try:
            return int(p[name]) if p.get(name) not in (None, "") else default
        except ValueError:
            raise Fail(self.err(400, name + " must be a number", "invalidValue")) from None

    def page(self, req, p):
        asked = self.whole(p, "count", self.set["default_count"])
        count = max(0, asked)
        if self.set["max_count"] is not None:
            count = min(count, self.set["max_count"])
        rows = self.matching(p)
        if self.set["cursor"] and "cursor" in p:
            return self.by_cursor(p, rows, count)
        start = max(1, self.whole(p, "startIndex", 1))
        if self.set["restart_past_end"] and start > len(rows):
            start = 1
        found = [self.shape(u, p) for u in rows[start - 1:start - 1 + count]]
        per = asked if self.set["items_per_page_asked"] else len(found)
        return self.answer({"totalResults": len(rows), "startIndex": start, "itemsPerPage": per}, found)

    def by_cursor(self, p, rows, count):
        if count < 1:
            raise Fail(self.err(400, "count must be positive", "invalidCount"))
        at = 0
        if p["cursor"]:
            try:
                seq, created, made = json.loads(unb64(p["cursor"]))
            except (ValueError, TypeError):
                raise Fail(self.err(400, "The cursor is not one of ours", "invalidCursor")) from None
            if time.time() - made > self.set["cursor_life_s"]:
                raise Fail(self.err(400, "The cursor has expired", "expiredCursor"))
            while at < len(rows) and (rows[at].created, rows[at].seq) <= (created, seq):
                at += 1
        found = rows[at:at + count]
        numbers = {"totalResults": len(rows), "itemsPerPage": len(found)}
        if at + count < len(rows):
            numbers["nextCursor"] = b64url(json.dumps([found[-1].seq, found[-1].created, time.time()]).encode())
        return self.answer(numbers, [self.shape(u, p) for u in found])

    def matching(self, p):
        rows, text = self.store.order, p.get("filter")
        if text:
            try:
                test = parse(text, self.allowed)
                if self.set["only_eq"] and type(test) is Logic and test.op != "and":
                    raise Syntax(test.op + " is not supported")
            except Syntax as e:
                raise Fail(self.err(400, str(e), "invalidFilter")) from None
            rows = self.tested(test)
        by = p.get("sortBy")
        if by:
            down = p.get("sortOrder", "ascending").lower() == "descending"
            if by.lower() == "username":
                rows = sorted(rows, key=lambda u: (u.username or u.email or u.id).lower(), reverse=down)
            else:
                rows = sorted(rows, key=lambda u: str((look_up(self.render(u), by) or [""])[0]).lower(), reverse=down)
        return rows

    def tested(self, test):
        span = single_range(test, "meta.lastModified")
        when = parse_time(span[1]) if span and span[0] in ("gt", "ge") and not self.set["no_last_modified"] else None
        if when is not None:                           # by bisection: this is asked often
            view = self.store.view("updated", lambda u: u.updated)
            i = bisect.bisect_left(view, (when // 1000 * 1000,))
            return sorted(r[2] for r in view[i:] if test(self.render(r[2])))
        equal = single_range(test, "userName")
        if equal and equal[0] == "eq" and isinstance(equal[1], str):
            view, name = self.by_name(), equal[1].lower()
            i = bisect.bisect_left(view, (name,))
            return sorted(r[2] for r in view[i:bisect.bisect_right(view, (name, float("inf")))] if test(self.render(r[2])))
        return [u for u in self.store.order if test(self.render(u))]

    def allowed(self, path, op):
        if self.set["only_eq"] and op != "eq":
            raise Syntax("filter operator %s is not supported" % op)

    def shape(self, u, p):
        obj = self.render(u)
        if not isinstance(obj, dict):
            return obj
        if p.get("attributes"):
            keep = {a.strip().split(".")[0].lower() for a in p["attributes"].split(",")} | {"id", "schemas"}
            return {k: v for k, v in obj.items() if k.lower() in keep}
        if p.get("excludedAttributes"):
            drop = {a.strip().lower() for a in p["excludedAttributes"].split(",")} - {"id", "schemas"}
            return {k: v for k, v in obj.items() if k.lower() not in drop}
        return obj
