"""A camera's stream over RTP and UDP: GStreamer at both ends, VP8 in between."""

import socket

from ends import program
from harness import Failed, check, free_port, wait_until

FRAMES = 150
WIDTH, HEIGHT = 320, 180
FRAME_LEN = WIDTH * HEIGHT * 3 // 2
CAPS = "application/x-rtp,media=video,clock-rate=90000,encoding-name=VP8,payload=96"


def launch(world, name, text):
    return world.start(name, program(world, "gst-launch-1.0", "gstreamer1.0-tools"), "-q",
                       *text.split())


def viewer(world, name, port):
    """Keeps each frame as it came, and decodes it. Ready when its port is bound."""
    process = launch(
        world, name,
        f"udpsrc address=127.0.0.1 port={port} buffer-size=4000000 caps={CAPS} "
        "! rtpjitterbuffer latency=1000 ! rtpvp8depay ! tee name=t "
        f"! queue ! multifilesink location={world.folder}/{name}.%05d "
        f"t. ! queue ! vp8dec ! filesink buffer-mode=unbuffered location={world.folder}/{name}.raw")
    wait_until(lambda: port in process.udp_ports() or not process.is_running(), 20, "it listens")
    return process


def camera(world, name, to, options=""):
    """Frames in their own time, kept as they were sent; returns when all were."""
    process = launch(
        world, name,
        f"videotestsrc num-buffers={FRAMES} is-live=true pattern=snow "
        f"! video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=60/1 "
        "! vp8enc deadline=1 cpu-used=8 target-bitrate=4000000 keyframe-max-dist=10 ! tee name=t "
        f"! queue ! multifilesink location={world.folder}/{name}.%05d "
        "t. ! queue ! rtpvp8pay mtu=1200 picture-id-mode=2 "
        f"! udpsink host={to[0]} port={to[1]} {options}")
    check(process.wait_exit(60) == 0, "the camera failed")


def frames(world, name):
    files = sorted(world.folder.glob(f"{name}.[0-9]*"))
    return [file.read_bytes() for file in files]


def compare(world, sent, got):
    """The frames are those that were sent, in order; and decoded. A few that a busy machine lost
    are no fault, because this is UDP; so are the first ten, where a packet overtook the first."""
    wanted, raw = frames(world, sent), world.folder / f"{got}.raw"
    check(len(wanted) == FRAMES, f"{len(wanted)} frames were sent")

    def is_all():
        return len(frames(world, got)) >= FRAMES and raw.stat().st_size >= FRAME_LEN * FRAMES

    try:
        wait_until(is_all, 5, "all frames")
    except Failed as less:
        print(f"note {less}", flush=True)
    came = frames(world, got)
    decoded, rest = divmod(raw.stat().st_size, FRAME_LEN)
    print(f"note RTP: {len(came)} of {FRAMES} frames came, {decoded} were decoded", flush=True)
    left = iter(wanted)
    check(all(frame in left for frame in came), "a frame that was not sent, or out of order")
    check(len(came) >= FRAMES * 3 // 4, f"only {len(came)} frames")
    check(rest == 0 and FRAMES // 2 <= decoded <= len(came), f"{decoded} frames were decoded")
    check(len(came) < FRAMES or decoded == FRAMES, f"{decoded} frames were decoded")


def test_rtp_to_the_device(world):
    """A stream into a UDP service."""
    port = free_port()
    viewer(world, "got", port)
    _, _, reach = world.pair([f"video=udp:127.0.0.1:{port}"], names=[f"video@{free_port()}"])
    camera(world, "sent", reach.at["video"])
    compare(world, "sent", "got")


def test_rtp_from_the_device(world):
    """A stream out of a UDP service, to whoever knocked there."""
    port, own = free_port(), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", port))
        service.settimeout(20)
        _, _, reach = world.pair([f"video=udp:127.0.0.1:{port}"], names=[f"video@{free_port()}"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
            knock.bind(("127.0.0.1", own))
            knock.sendto(b"play", reach.at["video"])
            what, whom = service.recvfrom(100)
        check(what == b"play", f"{what}")
    viewer(world, "got", own)
    camera(world, "sent", whom, f"bind-address=127.0.0.1 bind-port={port}")
    compare(world, "sent", "got")
