"""A host without librit: neighbour.py MODE PORT|ADDRESS [TEXT]

  http      a page /index.html with TEXT; answers any number of connections
  say       sends TEXT at once, and waits for the end
  hold      takes connections and sends back what comes, as long as they last
  udp-echo  sends back what comes with an exclamation mark behind it
  mdns      answers one-shot questions (RFC 6762 section 5.1) as the host cam.local with a camera's
            page and stream, a name that hurts terminals, and a lie about another host
"""

import http.server
import socket
import socketserver
import struct
import sys

GROUP, PORT = "224.0.0.251", 5353
PTR, SRV, A = 12, 33, 1


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{sys.argv[3]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


class Say(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(sys.argv[3].encode() + b"\r\n")
        self.request.recv(1)


class Hold(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1000):
            self.request.sendall(data)


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128


def name(text):
    """Labels are parted by slashes: there may be dots in them."""
    labels = [part.encode() for part in text.split("/")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner, kind, data):
    return name(owner) + struct.pack("!HHIH", kind, 1, 120, len(data)) + data


def place(port, host):
    return struct.pack("!HHH", 0, 0, port) + name(host)


def records(address):
    """(owner, type) → records."""
    web, stream = "_http/_tcp/local", "_rtsp/_tcp/local"
    first, odd = f"Cam. Door/{web}", f"\x1b[31mred\u202e/{stream}"
    own = record("cam/local", A, socket.inet_aton(address))
    return {
        ("_services/_dns-sd/_udp/local", PTR): [
            record("_services/_dns-sd/_udp/local", PTR, name(kind)) for kind in (web, stream)],
        (web, PTR): [record(web, PTR, name(first))],
        (stream, PTR): [record(stream, PTR, name(odd))],
        (first, SRV): [record(first, SRV, place(80, "cam/local"))],
        (odd, SRV): [record(odd, SRV, place(8554, "cam/local"))],
        ("cam/local", A): [own, *(record("cam/local", A, socket.inet_aton(lie))
                                  for lie in ("127.0.0.1", "203.0.113.9"))],
    }


def questions(packet):
    number, flags, count = struct.unpack_from("!HHH", packet)
    at, asked = 12, []
    for _ in range(count if flags & 0x8000 == 0 else 0):
        labels, after = [], None
        while packet[at]:
            if packet[at] >= 192:
                after = after or at + 2
                at = struct.unpack_from("!H", packet, at)[0] & 0x3fff
                continue
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        at = after or at + 1
        asked.append(("/".join(labels), struct.unpack_from("!H", packet, at)[0]))
        at += 4
    return number, asked


def mdns(address):
    known = {(owner.lower(), kind): found for (owner, kind), found in records(address).items()}
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind(("", PORT))
    line.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                    socket.inet_aton(GROUP) + socket.inet_aton(address))
    print("ready", flush=True)
    while True:
        packet, source = line.recvfrom(9000)
        number, asked = questions(packet)
        for owner, kind in asked:
            found = known.get((owner.lower(), kind), [])
            if found:
                head = struct.pack("!HHHHHH", number, 0x8400, 0, len(found), 0, 0)
                line.sendto(head + b"".join(found), source)


def udp_echo(port):
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind(("", port))
    print("ready", flush=True)
    while True:
        data, source = line.recvfrom(2000)
        line.sendto(data + b"!", source)


def main():
    mode = sys.argv[1]
    if mode == "mdns":
        mdns(sys.argv[2])
    if mode == "udp-echo":
        udp_echo(int(sys.argv[2]))
    handler = {"http": Page, "say": Say, "hold": Hold}[mode]
    with Server(("", int(sys.argv[2])), handler) as server:
        print("ready", flush=True)
        server.serve_forever()


main()
