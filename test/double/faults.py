"""Faults: which request meets one, and how the answer then goes wrong.

A fault has "match" (a substring of "METHOD path?query"; "" is any), "skip" (so many matches pass first), "times" (so
many meet it, 0 = all from then on) and "kind". README.md has the table of kinds and their further fields.
"""
import asyncio
import base64
import struct
import zlib

from common import Response, empty, reply

CHUNK = 65536
KINDS = ("status delay hang stall drip reset truncate long_length garbage html huge gzip_bomb big_header "
         "endless_chunks redirect after_effect bom duplicate_body wrong_type deep").split()
LOGIN = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>\n"


class Rules:
    """An ordered list of rules with match, skip and times; the first that is due is taken."""
    def __init__(self):
        self.rows = []

    def add(self, rule):
        for k in ("skip", "times"):
            if not isinstance(rule.get(k, 0), int):
                raise ValueError(k + " must be a number")
        self.rows.append([str(rule.get("match", "")), rule.get("skip", 0), rule.get("times", 1), rule])

    def take(self, line):
        for row in self.rows:
            if row[0] not in line:
                continue
            if row[1] > 0:
                row[1] -= 1
                continue
            if row[2] == 1:
                self.rows.remove(row)
            elif row[2] > 1:
                row[2] -= 1
            return row[3]
        return None

    def forget(self, prefix):
        self.rows = [] if prefix is None else [r for r in self.rows if prefix not in r[0]]


def check(rule):
    kind = rule.get("kind")
    if kind not in KINDS:
        raise ValueError("no such kind of fault: %r" % (kind,))
    if kind == "status" and not isinstance(rule.get("status"), int):
        raise ValueError("the fault needs a status")


def body_of(rule, default=b""):
    if "body_base64" in rule:
        return base64.b64decode(rule["body_base64"])
    body = rule.get("body")
    return default if body is None else body.encode("utf-8", "surrogateescape")


def headers_of(rule):
    h = rule.get("headers") or {}
    return [(k, v) for k, v in (h.items() if isinstance(h, dict) else h)]


def made(rule):
    """A response that does not depend on the request."""
    headers = headers_of(rule)
    typed = any(k.lower() == "content-type" for k, _ in headers)
    return Response(rule.get("status", 200), body_of(rule), headers, None if typed else "application/json")


async def play(conn, req, rule, work):
    """Answers req as the rule wants; work() does what was asked and gives the right answer. Returns the status."""
    kind = rule["kind"]
    if kind == "delay":
        await asyncio.sleep(rule.get("ms", 1000) / 1000)
        return conn.send(work())
    if kind == "status":
        return conn.send(made(rule))
    if kind == "hang":
        return await conn.silence()
    if kind == "garbage":
        return conn.send(Response(200, body_of(rule, b"\x00\xff not json"), headers_of(rule)))
    if kind == "html":
        return conn.send(Response(rule.get("status", 200), body_of(rule, LOGIN), (), "text/html; charset=utf-8"))
    if kind == "redirect":
        return conn.send(empty(rule.get("status", 302), [("Location", rule.get("location", "/"))]))
    if kind == "deep":
        n = rule.get("depth", 100000)
        return conn.send(Response(200, b"[" * n + b"]" * n))
    if kind == "huge":
        return await huge(conn, rule)
    if kind == "gzip_bomb":
        return await gzip_bomb(conn, rule)
    if kind == "endless_chunks":
        return await endless(conn, rule)
    if kind == "reset" and not rule.get("after") and not rule.get("do_work"):
        return conn.reset()
    r = work()
    if kind == "after_effect":
        return await after_effect(conn, rule)
    if kind == "bom":
        r.body = b"\xef\xbb\xbf" + r.body
    elif kind == "duplicate_body":
        r.body = r.body + body_of(rule, r.body)
    elif kind == "wrong_type":
        r.ctype = rule.get("type", "text/html; charset=utf-8")
    elif kind == "big_header":
        r.headers.append(("X-Big", "x" * rule.get("bytes", 1 << 20)))
    else:
        return await torn(conn, rule, r)
    return conn.send(r)


async def torn(conn, rule, r):
    """stall, drip, reset, truncate, long_length: the right answer, not in one piece or not to its end."""
    kind = rule["kind"]
    length = len(r.body)
    if kind == "long_length":
        length += rule.get("extra", 100)
    head = conn.head(r, length)
    if kind == "stall":
        conn.write(head + r.body[:len(r.body) // 2])
        await conn.silence()
        return r.status
    if kind == "drip":
        conn.write(head)
        for i in range(len(r.body)):
            await asyncio.sleep(rule.get("every_ms", 100) / 1000)
            conn.write(r.body[i:i + 1])
        return r.status
    if kind == "reset":
        conn.write((head + r.body)[:rule.get("after", 0)])
        await asyncio.sleep(rule.get("ms", 50) / 1000)
        conn.reset()
        return r.status
    if kind == "truncate":
        conn.write(head + r.body[:rule.get("after", len(r.body) // 2)])
        conn.close()
        return r.status
    conn.write(head + r.body)
    if rule.get("close"):
        conn.close()
    else:
        await conn.silence()
    return r.status


async def after_effect(conn, rule):
    """The work is done; the client does not learn it."""
    then = rule.get("then", "hang")
    if isinstance(then, int):
        then = {"status": then}
    if isinstance(then, dict):
        if "body" not in then and then.get("status", 504) == 504:
            then = dict(then, body='{"code":504,"error_code":"request_timeout","msg":"Processing this request timed '
                                   'out, please retry after a moment."}')
        return conn.send(made(dict({"status": 504}, **then)))
    if then == "reset":
        return conn.reset()
    if then == "close":
        conn.close()
        return 0
    return await conn.silence()


def framed(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


async def huge(conn, rule):
    conn.write(conn.head(Response(200), None))
    left = rule.get("bytes", 1 << 30)
    conn.write(framed(b'"'))
    while left > 0:
        n = min(left, CHUNK)
        if not await conn.push(framed(b"a" * n)):
            return 200
        left -= n
    conn.write(framed(b'"') + b"0\r\n\r\n")
    return 200


async def gzip_bomb(conn, rule):
    """One deflate block of a megabyte, repeated: a full flush makes each block independent of what went before."""
    conn.write(conn.head(Response(200, headers=[("Content-Encoding", "gzip")]), None))
    size, mega = rule.get("bytes", 1 << 30), b"a" * (1 << 20)
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = z.compress(b'"') + z.flush(zlib.Z_FULL_FLUSH)
    block = z.compress(mega) + z.flush(zlib.Z_FULL_FLUSH)
    crc, left = zlib.crc32(b'"'), size
    conn.write(framed(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + first))
    while left >= len(mega):
        crc = zlib.crc32(mega, crc)
        if not await conn.push(framed(block)):
            return 200
        left -= len(mega)
    tail = b"a" * left + b'"'
    crc = zlib.crc32(tail, crc)
    last = z.compress(tail) + z.flush()
    conn.write(framed(last + struct.pack("<II", crc, (size + 2) & 0xFFFFFFFF)) + b"0\r\n\r\n")
    return 200


async def endless(conn, rule):
    conn.write(conn.head(Response(200), None))
    data = framed(b" " * rule.get("size", 1024))
    while await conn.push(data):
        await asyncio.sleep(rule.get("every_ms", 10) / 1000)
    return 200


def no_provider():
    return reply(404, {"error": "the double has no such provider"})
