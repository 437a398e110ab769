"""Asks its callees again and again, by name, and prints each answer that differs from the last one."""

import http.client
import os
import socket
import struct
import time

PAUSE_S = 0.1
TIMEOUT_S = 2


def web():
    connection = http.client.HTTPConnection("web", 80, timeout=TIMEOUT_S)
    connection.request("GET", "/")
    reply = connection.getresponse()
    return f"{reply.status} {reply.read().decode().strip()}"


def store():
    with socket.create_connection(("store", 6379), TIMEOUT_S) as connection:
        connection.sendall(b"SETNX started 1\r\nGET started\r\n")
        return " ".join(connection.recv(1000).decode().split()[1:])


def method_id(name):
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def echo(method="Echo.Say"):
    """One frame of rpc/frame.h: a request with the message { text = "hi" }; the answer as printable characters."""
    message = b"\x0a\x02hi"
    head = struct.pack("<BBBBIIII", 1, 1, 0, 0, method_id(method), 1, 1000, len(message))
    with socket.create_connection(("echo", 7000), TIMEOUT_S) as connection:
        connection.sendall(head + message)
        answer = connection.recv(1000)
        return f"type {answer[1]} status {answer[2]} " + "".join(chr(c) if 32 <= c < 127 else " " for c in answer[20:])


def ready():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1\n", os.environ["NOTIFY_SOCKET"])


CALLEES = {"web": web, "store": store, "echo": echo}


def main():
    last = {}
    is_ready = False
    while True:
        for name, ask in CALLEES.items():
            try:
                said = ask()
            except OSError as error:
                said = f"no answer ({error})"
            if said != last.get(name):
                print(f"{name}: {said}", flush=True)
                last[name] = said
        if not is_ready and not any(said.startswith("no answer") for said in last.values()):
            print(f"echo, a method that the link does not allow: {echo('Echo.Other')}", flush=True)
            ready()
            is_ready = True
        time.sleep(PAUSE_S)


main()
