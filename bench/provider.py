#!/usr/bin/env python3
"""A provider that is never the bottleneck: GoTrue's list from files made beforehand, and creates after a set time.

    provider.py DIR USERS LATENCY_MS      makes DIR/page_N.json (1,000 users each), serves on a port of its own: "ready PORT"

GET  /auth/v1/admin/users?page=N&per_page=1000    the page, by sendfile; per_page=1: a page of one, for the count
GET  /auth/v1/admin/users/ID                      one user
POST /auth/v1/admin/users                         a new user, LATENCY_MS later
"""
import asyncio
import hashlib
import os
import re
import sys
import uuid

USER = ('{"id":"%(id)s","aud":"authenticated","role":"authenticated","email":"%(email)s","email_confirmed_at":"%(at)s","phone":"",'
        '"confirmed_at":"%(at)s","last_sign_in_at":"%(at)s","app_metadata":{"provider":"email","providers":["email"]},'
        '"user_metadata":{"account_type":"professional","email":"%(email)s","email_verified":true,"full_name":"User Number %(n)d",'
        '"phone_verified":false,"sub":"%(id)s"},"identities":[{"identity_id":"%(id)s","id":"%(id)s","user_id":"%(id)s",'
        '"identity_data":{"email":"%(email)s","email_verified":true,"phone_verified":false,"sub":"%(id)s"},"provider":"email",'
        '"last_sign_in_at":"%(at)s","created_at":"%(at)s","updated_at":"%(at)s","email":"%(email)s"}],'
        '"created_at":"%(at)s","updated_at":"%(at)s","is_anonymous":false}')


def user(n):
    h = hashlib.md5(str(n).encode()).hexdigest()
    return USER % {'id': '-'.join((h[:8], h[8:12], h[12:16], h[16:20], h[20:])), 'email': 'user%d@example.com' % n, 'n': n,
                   'at': '2025-%02d-%02dT%02d:%02d:%02d.%06dZ' % (1 + n % 12, 1 + n % 28, n % 24, n % 60, n // 60 % 60, n % 1000000)}


def make(directory, users):
    os.makedirs(directory, exist_ok=True)
    for page in range((users + 999) // 1000):
        with open('%s/page_%d.json' % (directory, page + 1), 'w') as f:
            rows = ','.join(user(n) for n in range(page * 1000, min(users, page * 1000 + 1000)))
            f.write('{"users":[%s],"aud":"authenticated"}' % rows)


class Server(asyncio.Protocol):
    directory = users = latency = loop = None

    def connection_made(self, transport):
        self.transport = transport
        self.data = b''

    def data_received(self, data):
        self.data += data
        while True:
            end = self.data.find(b'\r\n\r\n')
            if end < 0:
                return
            head = self.data[:end].decode('latin-1')
            length = re.search(r'content-length: *(\d+)', head, re.I)
            total = end + 4 + (int(length.group(1)) if length else 0)
            if len(self.data) < total:
                return
            self.data = self.data[total:]
            self.answer(head.split(' ', 2))

    def send(self, body):
        self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Total-Count: %d\r\nContent-Length: %d\r\n\r\n'
                             % (self.users, len(body)) + body)

    def answer(self, request):
        method, target = request[0], request[1]
        if method == 'POST':
            body = USER % {'id': uuid.uuid4(), 'email': 'x@example.com', 'n': 0, 'at': '2026-01-01T00:00:00Z'}
            self.loop.call_later(self.latency, self.send, body.encode())
            return
        page = re.search(r'[?&]page=(\d+)', target)
        if page is None:
            self.send(user(1).encode())
        elif 'per_page=1&' in target + '&':
            self.send(b'{"users":[' + user(0).encode() + b'],"aud":"authenticated"}')
        else:
            asyncio.ensure_future(self.page(int(page.group(1))))

    async def page(self, number):
        with open('%s/page_%d.json' % (self.directory, number), 'rb') as f:
            size = os.fstat(f.fileno()).st_size
            self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Total-Count: %d\r\nContent-Length: %d\r\n\r\n'
                                 % (self.users, size))
            await self.loop.sendfile(self.transport, f)


async def main():
    Server.directory, Server.users, Server.latency = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000
    make(Server.directory, Server.users)
    Server.loop = asyncio.get_running_loop()
    server = await Server.loop.create_server(Server, '127.0.0.1', 0, backlog=1024)
    print('ready', server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
