"""The self test of the double: a walk through all pages of each provider brings every user, once."""
import re
from urllib.parse import quote

from selftest_calls import PORT, bearer, call, control, ok, users
from supabase import SERVICE_JWT

N = 237


def walk(name, key, step, count=N):
    """step(state) gives (rows, next state or None)."""
    ids, state, pages = [], None, 0
    while pages < 400:
        rows, state = step(state)
        ids += [r[key] for r in rows]
        pages += 1
        if state is None:
            break
    provider = name.split(",")[0]
    have = [u["id"] for u in call("GET", "/_control/users?provider=" + provider).json]
    ok(sorted(ids) == sorted(have) and len(have) == count, "%s: a walk of %d pages brings all, once" % (name, pages),
       len(ids), len(set(ids)), len(have))


def plain():
    h = bearer(SERVICE_JWT)

    def supabase(page):
        r = call("GET", "/supabase/admin/users?sort=created_at+asc&per_page=50&page=%d" % (page or 5), headers=h)
        return r.json["users"], (page or 5) - 1 or None
    walk("supabase, backwards", "id", supabase)
    control("set", provider="supabase", cursor=True)

    def cursor(at):
        j = call("GET", "/supabase/admin/users?limit=50" + ("&cursor=" + at if at else ""), headers=h).json
        return j["users"], j["pagination"].get("next_cursor")
    walk("supabase, cursor", "id", cursor)

    def okta(url):
        r = call("GET", url or "/okta/api/v1/users?limit=50", headers={"Authorization": "SSWS okta-test-token"})
        m = re.search(r'<http://[^/]+([^>]+)>; rel="next"', ", ".join(r.headers.get_all("Link")))
        return r.json, m and m.group(1)
    walk("okta", "id", okta)

    def clerk(way):
        def step(after):
            r = call("GET", "/clerk/v1/users?limit=50&order_by=%screated_at%s" % (
                way, "&starting_after=" + after if after else ""), headers=bearer("sk_test_double"))
            return r.json, r.json[-1]["id"] if r.json else None
        return step
    walk("clerk, newest first", "id", clerk("-"))
    walk("clerk, oldest first", "id", clerk("%2B"))

    def workos(order):
        def step(after):
            j = call("GET", "/workos/user_management/users?limit=50&order=%s%s" % (
                order, "&after=" + after if after else ""), headers=bearer("sk_test_default")).json
            return j["data"], j["list_metadata"]["after"]
        return step
    walk("workos, asc", "id", workos("asc"))
    walk("workos, desc", "id", workos("desc"))

    def firebase(token):
        j = call("GET", "/firebase/v1/projects/p/accounts:batchGet?maxResults=50" + (
            "&nextPageToken=" + token if token else ""), headers=bearer("owner")).json
        return j.get("users", []), j.get("nextPageToken")
    walk("firebase", "localId", firebase)
    h2 = bearer("scim-test-token")

    def index(start):
        j = call("GET", "/scim/v2/Users?count=50&startIndex=%d" % (start or 1), headers=h2).json
        return j["Resources"], (start or 1) + len(j["Resources"]) if j["Resources"] else None
    walk("scim, index", "id", index)
    control("set", provider="scim", cursor=True)

    def by_cursor(at):
        j = call("GET", "/scim/v2/Users?count=50&cursor=" + (at or ""), headers=h2).json
        return j["Resources"], j.get("nextCursor")
    walk("scim, cursor", "id", by_cursor)
    h3 = bearer("rest-test-token")
    for style in ("token", "last_id", "url", "link"):
        control("set", provider="rest", next_style=style)

        def rest(url):
            r = call("GET", url or "/rest/users?limit=50", headers=h3)
            j, m = r.json, re.search(r"<http://[^/]+(.+)>", r.headers.get("Link", ""))
            if "next_page_token" in j:
                return j["data"]["users"], "/rest/users?limit=50&page_token=" + j["next_page_token"]
            return j["data"]["users"], m.group(1) if m else re.sub("http://[^/]+", "", j["next"]) if "next" in j else None
        walk("rest, next by " + style, "id", rest)

    def offset(at):
        rows = call("GET", "/rest/users.json?limit=50&offset=%d" % (at or 0), headers=h3).json
        return rows, (at or 0) + 50 if rows else None
    walk("rest, offset", "id", offset)


def keycloak():
    t = call("POST", "/keycloak/realms/test/protocol/openid-connect/token", {
        "grant_type": "client_credentials", "client_id": "authsync", "client_secret": "s3cret"}, form=True)
    h = bearer(t.json["access_token"])

    def step(first):
        rows = call("GET", "/keycloak/admin/realms/test/users?max=50&first=%d" % (first or 0), headers=h).json
        return rows, (first or 0) + 50 if rows else None
    walk("keycloak", "id", step)


def auth0():
    """More than the wall lets through: the window moves to the last creation, and what it repeats is left out."""
    control("reset", provider="auth0")
    users("auth0", count=2500, created_at="2026-01-01T00:00:00Z", step_ms=500)
    h = bearer(call("POST", "/auth0/oauth/token", {
        "grant_type": "client_credentials", "client_id": "m2m", "client_secret": "s3cret",
        "audience": "http://127.0.0.1:%d/auth0/api/v2/" % PORT[0]}).json["access_token"])
    seen = set()

    def step(state):
        low, page = state or ("*", 0)
        rows = call("GET", "/auth0/api/v2/users?sort=created_at:1&per_page=100&page=%d&q=%s" % (
            page, quote("created_at:[%s TO *]" % low)), headers=h).json
        new = [r for r in rows if r["user_id"] not in seen]
        seen.update(r["user_id"] for r in new)
        if len(rows) < 100:
            return new, None
        return new, (low, page + 1) if page < 9 else (rows[-1]["created_at"], 0)
    walk("auth0", "user_id", step, 2500)


def walks():
    for p in ("supabase", "okta", "clerk", "keycloak", "scim", "workos", "firebase", "rest"):
        users(p, count=N, step_ms=0)
    plain()
    keycloak()
    auth0()
