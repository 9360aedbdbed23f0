#!/usr/bin/env python3
"""Stands for the load balancer and the DNS of the world outside: a CONNECT proxy on loopback that leads every host it is
asked for to one address, so that clients use a registry's real name, and check its certificate.

  outside.py TARGET_HOST:PORT[,HOST:PORT…] [PORT_FILE]

Prints its own port, or writes it into PORT_FILE. Several targets are used in turn, and one that does not answer is left out.
"""

import itertools
import os
import socket
import socketserver
import sys
import threading

targets = [(host, int(port)) for host, _, port in (one.rpartition(":") for one in sys.argv[1].split(","))]
turn = itertools.count()


class Proxy(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline(4096)
        while self.rfile.readline(4096) not in (b"\r\n", b"\n", b""):
            pass
        if not line.startswith(b"CONNECT "):
            self.wfile.write(b"HTTP/1.1 405 Only CONNECT\r\n\r\n")
            return
        begin = next(turn)
        for i in range(len(targets)):
            try:
                there = socket.create_connection(targets[(begin + i) % len(targets)], timeout=5)
                break
            except OSError:
                continue
        else:
            self.wfile.write(b"HTTP/1.1 502 Nobody answers\r\n\r\n")
            return
        there.settimeout(None)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        back = threading.Thread(target=pump, args=(there, self.connection), daemon=True)
        back.start()
        pump(self.connection, there)
        back.join()
        there.close()


def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


with Server(("127.0.0.1", 0), Proxy) as server:
    port = str(server.server_address[1])
    if len(sys.argv) > 2:
        with open(sys.argv[2] + ".part", "w") as file:
            file.write(port)
        os.rename(sys.argv[2] + ".part", sys.argv[2])
    else:
        print(port, flush=True)
    server.serve_forever()
