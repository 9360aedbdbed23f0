#!/usr/bin/env python3
"""Calls an index node as its peers do, with a certificate, and prints what came of it: `taken`, or `refused: WHY`.

  peer.py PORT_ON_LOOPBACK HOST CA_FILE CERTIFICATE_FILE KEY_FILE
"""

import socket
import ssl
import sys

port, host, ca, certificate, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(certificate, key)
context.set_alpn_protocols(["h2"])
with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as raw, context.wrap_socket(raw, server_hostname=host) as peer:
    # A client of TLS 1.3 is done before its certificate is looked at: only what comes after its first words is the answer.
    try:
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        answer = peer.recv(9)
    except ssl.SSLError as error:
        sys.exit(print(f"refused: {error.reason}"))
# HTTP/2 begins with a frame of settings.
print("taken" if len(answer) == 9 and answer[3] == 4 else f"neither: {answer!r}")
