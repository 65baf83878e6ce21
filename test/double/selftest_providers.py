"""The self test of the double: each provider's calls, and the traps that it is to have."""
import base64
import hashlib
import hmac
import json
import time
from urllib.parse import quote

from selftest_calls import PORT, bearer, call, control, ok, users, want
from supabase import ANON_JWT, SERVICE_JWT


def supabase():
    h, p = bearer(SERVICE_JWT), "/supabase/auth/v1/admin/users"
    users("supabase", count=3, created_at="2026-01-01T00:00:00Z")
    r = want(call("GET", p + "?page=1&per_page=2", headers=h), 200, "supabase: list, newest first, identities null",
             lambda j: len(j["users"]) == 2 and j["users"][0]["created_at"] == "2026-01-01T00:00:02Z"
             and j["users"][0]["identities"] is None)
    ok(r.headers["X-Total-Count"] == "3" and r.headers["Link"] ==
       '</admin/users?page=2&per_page=2>; rel="next", </admin/users?page=2&per_page=2>; rel="last"',
       "supabase: X-Total-Count and relative Link", r.headers.items())
    want(call("GET", p + "?page=9", headers=h), 200, "supabase: past the end", lambda j: j["users"] == [])
    new = {"id": "7d1c1c1e-2a64-4a43-9a2b-5f3a3b1f0c77", "email": "Ines_D@Example.test", "phone": "+351 910",
           "email_confirm": True, "password": "1", "user_metadata": {"a": 1, "b": {"c": 2}}}
    want(call("POST", p, new, h), 200, "supabase: create", lambda j: j["email"] == "ines_d@example.test"
         and j["phone"] == "351910" and "confirmed_at" not in j and j["user_metadata"]["email_verified"])
    want(call("POST", p, new, h), 500, "supabase: the same id again", lambda j: j["code"] == "23505")
    new.pop("id")
    want(call("POST", p, new, h), 422, "supabase: the same e-mail", lambda j: j["error_code"] == "email_exists")
    want(call("POST", p, dict(new, email="x@y.zz"), h), 422, "supabase: the same phone",
         lambda j: j["error_code"] == "phone_exists")
    want(call("POST", p, new, dict(h, **{"X-Supabase-Api-Version": "2024-01-01"})), 422, "supabase: newer error shape",
         lambda j: j["code"] == "email_exists" and "message" in j)
    one = p + "/7d1c1c1e-2a64-4a43-9a2b-5f3a3b1f0c77"
    want(call("PUT", one, {"user_metadata": {"a": None, "b": {"d": 1}}, "ban_duration": "24h"}, h), 200,
         "supabase: merge with null deletes", lambda j: j["user_metadata"] == {"b": {"d": 1}, "email_verified": True}
         and "banned_until" in j)
    want(call("PUT", one, {"password": "abc"}, h), 422, "supabase: weak password on update only",
         lambda j: j["weak_password"]["reasons"] == ["length"])
    want(call("GET", p + "?filter=ines%25ample", headers=h), 200, "supabase: filter with a live %",
         lambda j: len(j["users"]) == 1)
    want(call("GET", p + "/nonsense", headers=h), 404, "supabase: not a UUID",
         lambda j: j["error_code"] == "validation_failed")
    want(call("DELETE", one, {"should_soft_delete": True}, h), 200, "supabase: soft delete", lambda j: j == {})
    want(call("GET", one, headers=h), 200, "supabase: still visible, obfuscated",
         lambda j: len(j["email"]) == 43 and "@" not in j["email"] and len(j["phone"]) == 15 and j["user_metadata"] == {})
    want(call("DELETE", one, headers=h), 200, "supabase: delete")
    want(call("DELETE", one, headers=h), 404, "supabase: delete twice", lambda j: j["error_code"] == "user_not_found")
    want(call("GET", p), 401, "supabase: no credential", lambda j: j["error_code"] == "no_authorization")
    want(call("GET", p, headers=bearer(SERVICE_JWT + "x")), 403, "supabase: bad_jwt",
         lambda j: j["error_code"] == "bad_jwt")
    want(call("GET", p, headers=bearer(ANON_JWT)), 403, "supabase: anon", lambda j: j["error_code"] == "not_admin")
    want(call("GET", p, headers=dict(bearer("sb_secret_test"), apikey="sb_secret_test")), 200, "supabase: opaque key")
    want(call("GET", p, headers=bearer("sb_secret_test")), 403, "supabase: opaque key without apikey")
    ok(call("GET", "/supabase/rest", headers=h).json is None, "supabase: unknown route is plain text")
    users("supabase", count=40, start=100, step_ms=0)
    control("set", provider="supabase", shuffle_ties=True)
    pages = [[u["id"] for u in call("GET", p + "?per_page=40", headers=h).json["users"]] for _ in range(2)]
    ok(pages[0] != pages[1] and set(pages[0]) == set(pages[1]), "supabase: ties in another order each time")
    control("reset", provider="supabase")
    users("supabase", count=3)
    control("set", provider="supabase", cursor=True)
    r = want(call("GET", p + "?limit=2", headers=h), 200, "supabase: cursor mode", lambda j: j["pagination"]["has_more"])
    want(call("GET", p + "?limit=2&cursor=" + r.json["pagination"]["next_cursor"], headers=h), 200,
         "supabase: its last page", lambda j: len(j["users"]) == 1 and not j["pagination"]["has_more"])


def auth0():
    base = "http://127.0.0.1:%d/auth0/api/v2/" % PORT[0]
    ask = {"grant_type": "client_credentials", "client_id": "m2m", "client_secret": "s3cret", "audience": base}
    want(call("POST", "/auth0/oauth/token", dict(ask, client_secret="x")), 401, "auth0: wrong secret",
         lambda j: j["error"] == "access_denied")
    want(call("POST", "/auth0/oauth/token", dict(ask, audience=base[:-1])), 403, "auth0: audience without slash")
    r = want(call("POST", "/auth0/oauth/token", ask), 200, "auth0: token", lambda j: j["expires_in"] == 86400)
    h, p = bearer(r.json["access_token"]), "/auth0/api/v2/users"
    users("auth0", count=1500, created_at="2026-01-01T00:00:00Z")
    want(call("GET", p, headers=h), 200, "auth0: bare array of 50", lambda j: len(j) == 50)
    want(call("GET", p + "?per_page=100&page=9&include_totals=true", headers=h), 200, "auth0: last page of the window",
         lambda j: j["length"] == 100 and j["total"] == 1500)
    want(call("GET", p + "?per_page=100&page=10", headers=h), 400, "auth0: the wall",
         lambda j: j["errorCode"] == "invalid_paging")
    want(call("GET", p + "?per_page=101", headers=h), 400, "auth0: per_page 101")
    q = quote('created_at:[2026-01-01T00:10:00.000Z TO *]')
    want(call("GET", p + "?sort=created_at:1&q=" + q, headers=h), 200, "auth0: inclusive range",
         lambda j: j[0]["created_at"] == "2026-01-01T00:10:00.000Z")
    q = quote('created_at:{2026-01-01T00:10:00.000Z TO 2026-01-01T00:10:02.000Z} AND identities.connection:"x"')
    want(call("GET", p + "?q=" + q, headers=h), 200, "auth0: AND", lambda j: j == [])
    q = quote('created_at:{2026-01-01T00:10:00.000Z TO 2026-01-01T00:10:02.000Z} OR email:"CARL.WEISS.1@x.y"')
    want(call("GET", p + "?q=" + q, headers=h), 200, "auth0: OR, exclusive range", lambda j: len(j) == 1)
    control("set", provider="auth0", index_lag_ms=60000)
    new = {"connection": "Username-Password-Authentication", "email": "A@b.c", "password": "12345678"}
    r = want(call("POST", p, new, h), 201, "auth0: create", lambda j: "blocked" not in j and "user_metadata" not in j)
    want(call("GET", p + '?q=email:"a@b.c"', headers=h), 200, "auth0: the index lags", lambda j: j == [])
    control("set", provider="auth0", index_lag_ms=0)
    want(call("GET", p + '?q=email:"a@b.c"', headers=h), 200, "auth0: and catches up", lambda j: len(j) == 1)
    want(call("POST", p, new, h), 409, "auth0: create twice")
    one = p + "/" + quote(r.json["user_id"], safe="")
    want(call("PATCH", one, {"user_metadata": {"a": {"b": 1}, "z": 1}, "blocked": True}, h), 200, "auth0: update")
    want(call("PATCH", one, {"user_metadata": {"a": {"c": 1}, "z": None}}, h), 200, "auth0: merge one level deep",
         lambda j: j["user_metadata"] == {"a": {"c": 1}} and j["blocked"] is True)
    want(call("PATCH", one, {"user_metadata": None, "name": None}, h), 200, "auth0: null clears",
         lambda j: j["user_metadata"] == {} and j["name"] == "a@b.c")
    want(call("GET", "/auth0/api/v2/users-by-email?email=a%40b.c", headers=h), 200, "auth0: by e-mail",
         lambda j: len(j) == 1)
    want(call("DELETE", one, headers=h), 204, "auth0: delete")
    want(call("DELETE", one, headers=h), 204, "auth0: delete twice is 204 again")
    want(call("GET", one, headers=h), 404, "auth0: gone", lambda j: j["errorCode"] == "inexistent_user")
    r = call("GET", "/auth0/api/v2/logs?from=90020260000000000000000000000000000&take=100", headers=h)
    ok(r.json[0]["type"] == "sapi" and "auth0%7C" in r.json[-1]["details"]["request"]["path"]
       and 'rel="next"' in r.headers["Link"], "auth0: logs by checkpoint", r.body, r.headers["Link"])
    want(call("GET", p), 401, "auth0: no token")
    want(call("GET", p, headers=bearer("x.y.z")), 401, "auth0: wrong token")
    t = call("POST", "/auth0/oauth/token", dict(ask, client_id="m2m-read")).json["access_token"]
    want(call("DELETE", one, headers=bearer(t)), 403, "auth0: scope", lambda j: j["errorCode"] == "insufficient_scope")
    control("hook", match="GET /auth0/api/v2/users", do={"expire_tokens": True})
    want(call("GET", p, headers=h), 401, "auth0: token expired in the middle", lambda j: "Expired" in j["message"])


def okta():
    h, p = {"Authorization": "SSWS okta-test-token"}, "/okta/api/v1/users"
    users("okta", count=5, created_at="2026-01-01T00:00:00Z")
    r = call("GET", p + "?limit=2", headers=h)
    links = r.headers.get_all("Link")
    ok(len(r.json) == 2 and len(links) == 2 and "after=" in links[1], "okta: two Link headers", links)
    new = {"profile": {"login": "z@x.y", "email": "z@x.y", "firstName": "Z", "lastName": "Y", "team": "red"}}
    r = want(call("POST", p, new, h), 200, "okta: create", lambda j: j["status"] == "ACTIVE")
    one = p + "/" + r.json["id"]
    want(call("POST", p, new, h), 400, "okta: create twice", lambda j: j["errorCode"] == "E0000001")
    want(call("POST", one, {"profile": {"nickName": "zz"}}, h), 200, "okta: partial update",
         lambda j: j["profile"]["firstName"] == "Z" and j["profile"]["nickName"] == "zz")
    want(call("PUT", one, {"profile": {"login": "z@x.y", "email": "z@x.y"}}, h), 200, "okta: PUT nulls",
         lambda j: j["profile"]["firstName"] is None and "team" not in j["profile"])
    q = quote('lastUpdated gt "2026-02-01T00:00:00.000Z"')
    want(call("GET", p + "?filter=" + q, headers=h), 200, "okta: changed since", lambda j: len(j) == 1)
    want(call("GET", p + "?filter=" + quote('profile.login co "z"'), headers=h), 400, "okta: filter is eq only")
    want(call("DELETE", one, headers=h), 204, "okta: first delete deactivates")
    want(call("GET", one, headers=h), 200, "okta: DEPROVISIONED", lambda j: j["status"] == "DEPROVISIONED")
    want(call("GET", p, headers=h), 200, "okta: the plain list leaves it out", lambda j: len(j) == 5)
    want(call("GET", p + "?filter=" + quote('status eq "DEPROVISIONED"'), headers=h), 200, "okta: a filter does not",
         lambda j: len(j) == 1)
    want(call("DELETE", one, headers=h), 204, "okta: second delete deletes")
    want(call("DELETE", one, headers=h), 404, "okta: third is 404", lambda j: j["errorCode"] == "E0000007")
    want(call("GET", p), 401, "okta: no token")
    want(call("GET", "/okta/api/v1/logs", headers=h), 200, "okta: log", lambda j: j[-1]["eventType"].startswith(
        "user.lifecycle.delete"))


def clerk():
    h, p = bearer("sk_test_double"), "/clerk/v1/users"
    users("clerk", count=25, created_at="2026-01-01T00:00:00Z")
    r = want(call("GET", p, headers=h), 200, "clerk: bare array of 10, newest first", lambda j: len(j) == 10
             and j[0]["created_at"] == 1767225624000)
    want(call("GET", p + "?limit=500&starting_after=" + r.json[-1]["id"], headers=h), 200, "clerk: starting_after",
         lambda j: len(j) == 15)
    want(call("GET", p + "?limit=501", headers=h), 422, "clerk: limit 501")
    want(call("GET", p + "/count", headers=h), 200, "clerk: count", lambda j: j["total_count"] == 25)
    new = {"email_address": ["c@d.e"], "first_name": "C"}
    r = want(call("POST", p, new, h), 200, "clerk: create", lambda j: j["primary_email_address_id"] ==
             j["email_addresses"][0]["id"])
    one = p + "/" + r.json["id"]
    want(call("POST", p, new, h), 422, "clerk: create twice", lambda j: j["errors"][0]["code"])
    want(call("PATCH", one + "/metadata", {"public_metadata": {"a": {"b": 1, "c": 2}}}, h), 200, "clerk: metadata")
    want(call("PATCH", one + "/metadata", {"public_metadata": {"a": {"b": None}}}, h), 200, "clerk: deep merge",
         lambda j: j["public_metadata"] == {"a": {"c": 2}})
    want(call("PATCH", one, {"public_metadata": {}}, dict(h, **{"Clerk-API-Version": "2026-05-12"})), 422,
         "clerk: newer version refuses metadata")
    want(call("POST", one + "/ban", None, h), 200, "clerk: ban", lambda j: j["banned"] is True)
    want(call("GET", p + "?email_address=c%40d.e", headers=h), 200, "clerk: by e-mail", lambda j: len(j) == 1)
    want(call("DELETE", one, headers=h), 200, "clerk: delete", lambda j: j["deleted"])
    want(call("DELETE", one, headers=h), 404, "clerk: delete twice")
    want(call("GET", p), 401, "clerk: no key")
    want(call("DELETE", one, headers=bearer("sk_test_read")), 403, "clerk: a key that may only read")


def keycloak():
    t = "/keycloak/realms/test/protocol/openid-connect/token"
    ask = {"grant_type": "client_credentials", "client_id": "authsync", "client_secret": "s3cret"}
    want(call("POST", t, ask), 415, "keycloak: the token endpoint takes forms only")
    want(call("POST", t, dict(ask, client_secret="x"), form=True), 401, "keycloak: wrong secret")
    r = want(call("POST", t, ask, form=True), 200, "keycloak: token", lambda j: j["expires_in"] == 300)
    basic = base64.b64encode(b"authsync:s3cret").decode()
    want(call("POST", t, {"grant_type": "client_credentials"}, {"Authorization": "Basic " + basic}, form=True), 200,
         "keycloak: token by Basic")
    h, p = bearer(r.json["access_token"]), "/keycloak/admin/realms/test/users"
    users("keycloak", count=5, created_at="2026-01-01T00:00:00Z")
    users("keycloak", users=[{"username": "service-account-x", "extra": {"serviceAccountClientId": "x"}}])
    want(call("GET", p + "?first=0&max=4", headers=h), 200, "keycloak: by user name",
         lambda j: [u["username"] for u in j] == sorted(u["username"] for u in j) and len(j) == 4)
    want(call("GET", p, headers=h), 200, "keycloak: no service accounts", lambda j: len(j) == 5)
    want(call("GET", p + "?enabled=true", headers=h), 200, "keycloak: but with a filter", lambda j: len(j) == 6)
    want(call("GET", p + "/count", headers=h), 200, "keycloak: count", lambda j: j == 5)
    new = {"username": "Zed", "email": "z@e.d", "firstName": "Z", "enabled": True, "attributes": {"a": ["1"]}}
    r = want(call("POST", p, new, h), 201, "keycloak: create", lambda j: j is None)
    one = r.headers["Location"][len("http://127.0.0.1:%d" % PORT[0]):]
    want(call("GET", one, headers=h), 200, "keycloak: get by Location", lambda j: j["username"] == "zed")
    want(call("POST", p, new, h), 409, "keycloak: create twice", lambda j: "errorMessage" in j)
    call("POST", p, {"username": "off"}, h)
    want(call("GET", p + "?username=off&exact=true", headers=h), 200, "keycloak: without enabled, disabled",
         lambda j: j[0]["enabled"] is False)
    want(call("PUT", one, {"firstName": "Y", "enabled": False}, h), 204, "keycloak: update")
    want(call("GET", one, headers=h), 200, "keycloak: PUT replaced the profile",
         lambda j: "email" not in j and j["firstName"] == "Y" and j["enabled"] is False and "attributes" not in j)
    control("set", provider="keycloak", locked_ids=[call("GET", p + "?max=1", headers=h).json[0]["id"]])
    u = call("GET", p + "?max=1", headers=h).json[0]
    want(call("GET", p + "/" + u["id"], headers=h), 200, "keycloak: locked shows in the single GET only",
         lambda j: u["enabled"] and not j["enabled"])
    want(call("GET", p + "?createdAfter=2026-02-01", headers=h), 200, "keycloak: createdAfter", lambda j: len(j) == 3)
    want(call("DELETE", one, headers=h), 204, "keycloak: delete")
    want(call("DELETE", one, headers=h), 404, "keycloak: delete twice", lambda j: j["error"] == "User not found")
    want(call("GET", "/keycloak/admin/realms/test/admin-events", headers=h), 200, "keycloak: events are off",
         lambda j: j == [])
    want(call("GET", p), 401, "keycloak: no token")
    q = call("POST", t, dict(ask, client_id="authsync-query"), form=True).json["access_token"]
    want(call("GET", p, headers=bearer(q)), 200, "keycloak: query-users alone sees nobody", lambda j: j == [])
    q = call("POST", t, dict(ask, client_id="authsync-none"), form=True).json["access_token"]
    want(call("GET", p, headers=bearer(q)), 403, "keycloak: no role")


def scim():
    h, p = bearer("scim-test-token"), "/scim/v2/Users"
    users("scim", count=30, created_at="2026-01-01T00:00:00Z")
    want(call("GET", p + "?startIndex=29&count=10", headers=h), 200, "scim: last page",
         lambda j: len(j["Resources"]) == 2 and j["totalResults"] == 30)
    want(call("GET", p + "?startIndex=99", headers=h), 200, "scim: past the end", lambda j: j["Resources"] == [])
    control("set", provider="scim", restart_past_end=True, max_count=5, cursor=True, location=False)
    want(call("GET", p + "?startIndex=99&count=10", headers=h), 200, "scim: begins again, five at most",
         lambda j: len(j["Resources"]) == 5)
    r = call("GET", p + "?cursor&count=5", headers=h)
    want(call("GET", p + "?count=5&cursor=" + r.json["nextCursor"], headers=h), 200, "scim: cursor",
         lambda j: j["Resources"][0]["id"] not in [u["id"] for u in r.json["Resources"]])
    want(call("GET", p + "?count=5&cursor=zzz", headers=h), 400, "scim: bad cursor",
         lambda j: j["scimType"] == "invalidCursor")
    new = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "S@t.u", "nickName": "s",
           "emails": [{"value": "s@t.u", "type": "work", "primary": True}]}
    r = want(call("POST", p, new, h), 201, "scim: create")
    ok("Location" not in r.headers, "scim: without Location, as set")
    one = p + "/" + r.json["id"]
    want(call("POST", p, new, h), 409, "scim: create twice", lambda j: j["scimType"] == "uniqueness"
         and j["status"] == "409")
    want(call("GET", p + "?filter=" + quote('userName eq "s@T.u"'), headers=h), 200, "scim: by name",
         lambda j: j["totalResults"] == 1)
    q = quote('emails[type eq "work" and value co "T.U"] and not (active eq false)')
    want(call("GET", p + "?filter=" + q, headers=h), 200, "scim: value path", lambda j: j["totalResults"] == 1)
    q = quote('meta.lastModified gt "2026-01-01T00:00:27Z"')
    want(call("GET", p + "?filter=" + q, headers=h), 200, "scim: changed since", lambda j: j["totalResults"] == 3)
    ops = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
           "Operations": [{"op": "Replace", "path": "active", "value": "False"},
                          {"op": "replace", "path": 'emails[type eq "work"].value', "value": "v@w.x"}]}
    want(call("PATCH", one, ops, h), 200, "scim: PATCH", lambda j: j["active"] is False
         and j["emails"][0]["value"] == "v@w.x" and j["nickName"] == "s")
    want(call("PUT", one, {"userName": "S@t.u"}, h), 200, "scim: PUT clears", lambda j: "nickName" not in j
         and j["active"] is True)
    control("set", provider="scim", only_eq=True, number_status=True)
    want(call("GET", p + "?filter=" + q, headers=h), 400, "scim: eq only", lambda j: j["status"] == 400)
    want(call("DELETE", one, headers=h), 204, "scim: delete")
    want(call("DELETE", one, headers=h), 404, "scim: delete twice")
    want(call("GET", p), 401, "scim: no token")
    want(call("DELETE", one, headers=bearer("scim-read-token")), 403, "scim: a token that may only read")


def workos():
    h, p = bearer("sk_test_default"), "/workos/user_management/users"
    users("workos", count=25, created_at="2026-01-01T00:00:00Z")
    r = want(call("GET", p + "?order=asc&limit=10", headers=h), 200, "workos: list",
             lambda j: j["list_metadata"]["after"] == j["data"][9]["id"])
    want(call("GET", p, headers=h), 200, "workos: newest first", lambda j: j["data"][0]["created_at"].endswith("24.000Z"))
    want(call("GET", p + "?order=asc&limit=100&after=" + r.json["data"][9]["id"], headers=h), 200, "workos: after",
         lambda j: len(j["data"]) == 15 and j["list_metadata"]["after"] is None)
    new = {"email": "w@o.rk", "first_name": "W", "metadata": {"k": "v"}}
    one = p + "/" + want(call("POST", p, new, h), 201, "workos: create").json["id"]
    want(call("POST", p, new, h), 409, "workos: create twice", lambda j: j["code"] == "user_already_exists")
    want(call("PUT", one, {"last_name": "K"}, h), 200, "workos: update", lambda j: j["first_name"] == "W")
    want(call("DELETE", one, headers=h), 204, "workos: delete")
    want(call("DELETE", one, headers=h), 404, "workos: delete twice", lambda j: j["code"] == "not_found")
    want(call("GET", p + "?order=asc&after=" + one.split("/")[-1], headers=h), 200, "workos: after a deleted id",
         lambda j: j["data"][0]["id"] == r.json["data"][0]["id"])
    want(call("GET", "/workos/events?events[]=user.created&events[]=user.deleted", headers=h), 200, "workos: events",
         lambda j: [e["event"] for e in j["data"]] == ["user.created", "user.deleted"])
    want(call("GET", p), 401, "workos: no key")


def firebase():
    h, p = bearer("owner"), "/firebase/v1/projects/p/accounts"
    users("firebase", count=40)
    r = call("GET", p + ":batchGet?maxResults=20", headers=h)
    r = call("GET", p + ":batchGet?maxResults=20&nextPageToken=" + r.json["nextPageToken"], headers=h)
    want(call("GET", p + ":batchGet?maxResults=20&nextPageToken=" + r.json["nextPageToken"], headers=h), 200,
         "firebase: a full last page carries a token", lambda j: "users" not in j and "nextPageToken" not in j)
    new = {"email": "f@b.c", "password": "123456", "localId": "f1", "customAttributes": '{"a":1}'}
    want(call("POST", p, new, h), 200, "firebase: create")
    want(call("POST", p, dict(new, localId="f2"), h), 400, "firebase: create twice",
         lambda j: j["error"]["message"] == "EMAIL_EXISTS")
    want(call("POST", p + ":lookup", {"email": ["f@b.c"]}, h), 200, "firebase: by e-mail",
         lambda j: j["users"][0]["customAttributes"] == '{"a":1}' and isinstance(j["users"][0]["createdAt"], str))
    want(call("POST", p + ":update", {"localId": "f1", "disableUser": True}, h), 200, "firebase: update")
    want(call("POST", p + ":query", {"returnUserInfo": False}, h), 200, "firebase: count",
         lambda j: j == {"recordsCount": "41"})
    want(call("POST", p + ":delete", {"localId": "f1"}, h), 200, "firebase: delete")
    want(call("POST", p + ":delete", {"localId": "f1"}, h), 400, "firebase: delete twice",
         lambda j: j["error"]["message"] == "USER_NOT_FOUND")
    want(call("GET", p + ":batchGet"), 401, "firebase: no token")

    def grant(scope):
        jwt = ".".join(base64.urlsafe_b64encode(b).rstrip(b"=").decode() for b in (
            b'{"alg":"RS256"}', json.dumps({"scope": scope}).encode(), b"signature"))
        return call("POST", "/firebase/token", {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                                                "assertion": jwt}, form=True).json["access_token"]
    want(call("GET", p + ":batchGet", headers=bearer(grant("https://www.googleapis.com/auth/firebase"))), 200,
         "firebase: JWT-bearer grant")
    want(call("GET", p + ":batchGet", headers=bearer(grant("https://www.googleapis.com/auth/drive"))), 403,
         "firebase: another scope")


def amz(name, body, key="AKIDTEST", when=None, secret="s3cret"):
    body = json.dumps(dict({"UserPoolId": "eu-west-1_Pool"}, **body))
    when = when or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    h = {"Host": "127.0.0.1:%d" % PORT[0], "X-Amz-Date": when, "Content-Type": "application/x-amz-json-1.1",
         "X-Amz-Target": "AWSCognitoIdentityProviderService." + name}
    names = sorted(k.lower() for k in h)
    low = {k.lower(): v for k, v in h.items()}
    scope = when[:8] + "/eu-west-1/cognito-idp/aws4_request"
    text = "\n".join(["POST", "/cognito/", "", "".join("%s:%s\n" % (n, low[n]) for n in names), ";".join(names),
                      hashlib.sha256(body.encode()).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(text.encode()).hexdigest()])
    k = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    sign = hmac.new(k, text.encode(), hashlib.sha256).hexdigest()
    h["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        key, scope, ";".join(names), sign)
    return call("POST", "/cognito/", body, h)


def cognito():
    users("cognito", count=150)
    control("set", provider="cognito", verify_sigv4=True)
    seen, token, pages, short = set(), None, 0, False
    while True:
        r = amz("ListUsers", dict({"Limit": 60}, **({"PaginationToken": token} if token else {})))
        seen |= {u["Username"] for u in r.json["Users"]}
        pages, token = pages + 1, r.json.get("PaginationToken")
        short = short or (token and len(r.json["Users"]) < 60)
        if not token:
            break
    ok(len(seen) == 150 and short, "cognito: all pages, some short with a token", len(seen), pages)
    want(amz("ListUsers", {"Limit": 61}), 400, "cognito: Limit 61")
    new = {"Username": "c@o.g", "UserAttributes": [{"Name": "email", "Value": "c@o.g"}]}
    want(amz("AdminCreateUser", new), 200, "cognito: create", lambda j: j["User"]["Enabled"])
    want(amz("AdminCreateUser", new), 400, "cognito: create twice", lambda j: j["__type"] == "UsernameExistsException")
    want(amz("ListUsers", {"Filter": 'email = "c@o.g"'}), 200, "cognito: by e-mail", lambda j: len(j["Users"]) == 1)
    want(amz("AdminDisableUser", {"Username": "c@o.g"}), 200, "cognito: disable", lambda j: j == {})
    want(amz("AdminGetUser", {"Username": "c@o.g"}), 200, "cognito: get",
         lambda j: not j["Enabled"] and j["UserAttributes"])
    want(amz("AdminDeleteUser", {"Username": "c@o.g"}), 200, "cognito: delete")
    want(amz("AdminDeleteUser", {"Username": "c@o.g"}), 400, "cognito: delete twice",
         lambda j: j["__type"] == "UserNotFoundException")
    want(call("POST", "/cognito/", "{}"), 400, "cognito: unsigned")
    want(amz("ListUsers", {}, secret="x"), 400, "cognito: wrong signature",
         lambda j: j["__type"] == "InvalidSignatureException")
    want(amz("ListUsers", {}, when="20200101T000000Z"), 400, "cognito: stale date")
    want(amz("ListUsers", {}, key="AKIDDENIED"), 400, "cognito: denied", lambda j: j["__type"] == "AccessDeniedException")


def rest():
    h, p = bearer("rest-test-token"), "/rest/users"
    users("rest", count=5)
    want(call("GET", p + "?page=2&per_page=3", headers=h), 200, "rest: page", lambda j: len(j["users"]) == 2)
    want(call("GET", p + "?offset=4&limit=3", headers=h), 200, "rest: offset", lambda j: len(j["items"]) == 1)
    r = want(call("GET", p + "?limit=3", headers=h), 200, "rest: token", lambda j: len(j["data"]["users"]) == 3)
    want(call("GET", p + "?limit=3&page_token=" + r.json["next_page_token"], headers=h), 200, "rest: last page",
         lambda j: len(j["data"]["users"]) == 2 and "next_page_token" not in j)
    r = want(call("POST", p, {"email": "r@e.st"}, h), 201, "rest: create")
    want(call("POST", p, {"email": "r@e.st"}, h), 409, "rest: create twice")
    one = p + "/" + r.json["id"]
    want(call("PATCH", one, {"active": False}, h), 200, "rest: update", lambda j: not j["active"])
    want(call("DELETE", one, headers=h), 204, "rest: delete")
    want(call("DELETE", one, headers=h), 404, "rest: delete twice")
    want(call("GET", p), 401, "rest: no token")


ALL = (supabase, auth0, okta, clerk, keycloak, scim, workos, firebase, cognito, rest)
