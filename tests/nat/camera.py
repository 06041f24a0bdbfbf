"""A camera and its viewer across a link whose capacity varies (trace_link.py).

By hand, on a recorded trace: camera.py --bin DIR --server PROGRAM --trace FILE [--seconds S]
"""

import json
import os
import pathlib
import re
import sys

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import runner  # noqa: E402 (the path above)
from harness import Skipped, check  # noqa: E402
from netns import Namespace  # noqa: E402
from trace_link import DELAY_S, Trace  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
NEAR, FAR = "10.9.0.1", "10.9.0.2"
SERIALISATION_MS = 1500 * 8 / 1000  # of a packet at a megabit per second, the link's least


class Watch:
    """The camera and its broker at one end of the link, the viewer with its results at the other."""

    def __init__(self, world, trace, before, seconds):
        self.world, self.trace = world, trace
        self.near, self.far = Namespace("camera"), Namespace("viewer")
        self.start_link()
        viewer = [world.tools.bin / "viewer", "--state", world.folder / "viewer"]
        key = world.run(*viewer, "--key").stdout.split()[-1]
        with self.near:
            broker = world.broker(NEAR)
            self.camera = world.start(
                "camera", world.tools.bin / "camera", "--state", world.folder / "camera",
                "--broker", broker.uri, "--enrol", broker.code(), "--allow", key)
        camera = self.camera.wait_line(r"^key ([a-z2-7]{52})").group(1)
        self.camera.wait_line(r"^online")
        with self.far:
            self.viewer = world.start(
                "viewer", *viewer, "--broker", broker.uri, "--enrol", broker.code(),
                "--before", before, "--seconds", seconds, camera)
        code = self.viewer.wait_exit(before + seconds + 30)
        check(code == 0, f"the viewer's status is {code}")
        self.result = json.loads(self.viewer.text().splitlines()[-1])
        start, end = ((self.result[name] - self.began_us) / 1e6 for name in ("from_us", "to_us"))
        self.result["capacity_per_s"] = trace.capacity(start, end) / (end - start)
        # What control would take in the same seconds without video.
        waits = trace.waits(start, end)
        for name, share in (("median", 0.5), ("p95", 0.95)):
            own_s = 2 * DELAY_S + waits[int(len(waits) * share)]
            self.result[f"control_own_{name}_ms"] = round(own_s * 1000, 1)

    def start_link(self):
        """Its devices are there from its first line on; they get their addresses then."""
        file = self.world.folder / "trace"
        self.trace.write(file)
        link = self.world.start("link", sys.executable, "-B", HERE / "trace_link.py", file,
                                self.near.path, "cell", self.far.path, "cell")
        self.began_us = float(link.wait_line(r"^ready (\S+)").group(1)) * 1e6
        for namespace, own, other in ((self.near, NEAR, FAR), (self.far, FAR, NEAR)):
            namespace.ip(f"addr add {own} peer {other} dev cell", "link set cell up")

    def print(self):
        for line in re.findall(r"^video .*", self.camera.text(), re.MULTILINE)[-3:]:
            print(f"   {line}")
        print(f"   {json.dumps(self.result)}")


def test_camera(world):
    """The video fills the link and follows it; control beside it does not wait for it."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Skipped("there is no TUN device to be had")
    watch = Watch(world, Trace.wandering(seed=4, mean=400, seconds=60), before=4, seconds=16)
    watch.print()
    got = watch.result
    used = got["bytes_per_s"] / got["capacity_per_s"]
    print(f"   {used:.0%} of the link used, {got['arrived']} frames, control "
          f"{got['control_before_median_ms']} ms without and {got['control_median_ms']} ms with "
          f"video (95 %: {got['control_before_p95_ms']} and {got['control_p95_ms']} ms)")
    check(got["control_before"] >= 40 and got["control"] >= 160, "control messages are missing")
    check(used >= 0.5, "the video does not fill the link")
    check(used <= 1, "more came than the link carries")
    most = 2 * got["control_before_median_ms"] + SERIALISATION_MS
    check(got["control_median_ms"] <= most, f"control takes more than {most:.1f} ms")
    # A frame is given up after 200 ms; the rest is the link's own time.
    check(got["age_p95_ms"] < 400, "old frames were queued instead of dropped")
    check(got["arrived"] > 10 * (got["lost"] + got["late"]), "too few frames arrive in time")


def add_arguments(parser):
    parser.add_argument("--trace", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--before", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=60)


def main():
    tools = runner.arguments(add_arguments, web=False)

    def replay(path):
        return lambda world: Watch(world, Trace.read(path), tools.before, tools.seconds).print()

    limit_s = int(tools.before + tools.seconds) + 60
    runner.run_all({path.name: replay(path) for path in tools.trace}, tools, limit_s)


if __name__ == "__main__":
    main()
