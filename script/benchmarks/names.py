"""A name server for one benchmark: every name is this machine, and has nothing but that one A record. Its port is the argument."""
import socket, sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[1])))
# A pointer to the question's name, type A, class IN, no second to live.
RECORD = b"\xc0\x0c" b"\0\1" b"\0\1" b"\0\0\0\0" b"\0\4" + socket.inet_aton("127.0.0.1")
while True:
    asked, peer = server.recvfrom(4096)
    end = asked.index(b"\0", 12) + 5
    is_a = asked[end - 4:end - 2] == b"\0\1"
    flags = bytes([0x84 | (asked[2] & 1), 0x80])
    server.sendto(asked[:2] + flags + b"\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0" + asked[12:end] + (RECORD if is_a else b""), peer)
