#!/usr/bin/env python3
"""get.py PORT: milliseconds of one GET of a user, median of 50 on an open connection: the server's own time."""
import http.client
import statistics
import sys
import time

connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
times = []
for _ in range(50):
    start = time.perf_counter()
    connection.request('GET', '/auth/v1/admin/users/x')
    connection.getresponse().read()
    times.append((time.perf_counter() - start) * 1000)
print('%.4f' % statistics.median(times))
