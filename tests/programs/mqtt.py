"""Mosquitto at the device, its clients at both ends."""

from ends import by_rit, program
from harness import check, free_port, wait_until

MESSAGES = 10_000


class Mosquitto:
    """The broker of messages, directly at `direct` and through the tunnel at `far`."""

    def __init__(self, world):
        self.world = world
        port = free_port()
        settings = world.folder / "mosquitto.conf"
        # None is left out for a subscriber that is slower than a publisher.
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
                            "max_queued_messages 0\npersistence false\nlog_type all\n")
        server = world.start("mosquitto", program(world, "mosquitto", "mosquitto"), "-c", settings)
        server.wait_line("running$")
        self.server, self.direct = server, ("127.0.0.1", port)
        self.tunnel = by_rit(world, {"mqtt": port})
        self.far = self.tunnel.at["mqtt"]

    def argv(self, word, at, *options):
        # By MQTT 5 the clients of 2.0.11 lose such a stream, also without a tunnel.
        command = program(self.world, f"mosquitto_{word}", "mosquitto-clients")
        return [command, "-h", at[0], "-p", at[1], "-V", "mqttv311", *options]

    def subscribe(self, name, at, topic, *options):
        process = self.world.start(name, *self.argv("sub", at, "-i", name, "-q", 2, "-t", topic,
                                                    *options))
        self.server.wait_line(rf"Sending SUBACK to {name}$")
        return process

    def publish(self, at, *options):
        done = self.world.run(*self.argv("pub", at, "-q", 2, *options))
        check(done.returncode == 0, f"mosquitto_pub: {done.stderr}")


def test_mqtt_messages(world):
    """10,000 messages of QoS 2 go in through the tunnel and come out of it, each once and in order;
    retained ones are there for who comes later."""
    mqtt = Mosquitto(world)
    topic = "house/numbers"
    ends = {"far": mqtt.far, "near": mqtt.direct}
    heard = [mqtt.subscribe(name, at, topic, "-C", MESSAGES) for name, at in ends.items()]
    lines = world.folder / "lines"
    lines.write_text("".join(f"message {number}\n" for number in range(MESSAGES)))
    shell = 'exec "$@" <"$0"'
    sent = world.start("publisher", "sh", "-c", shell, lines,
                       *mqtt.argv("pub", mqtt.far, "-q", 2, "-l", "-t", topic))
    check(sent.wait_exit(90) == 0, "mosquitto_pub failed")
    for process in heard:
        check(process.wait_exit(60) == 0, f"{process.name} failed")
        check(process.text() == lines.read_text(), f"{process.name} heard something else")
    picture = world.folder / "picture"
    picture.write_bytes(bytes(range(256)) * 4000)
    mqtt.publish(mqtt.far, "-r", "-t", "house/picture", "-f", picture)
    later = world.start("later", *mqtt.argv("sub", mqtt.far, "-q", 2, "-t", "house/picture",
                                            "-C", 1, "-N"))
    check(later.wait_exit() == 0, "no retained message")
    check(later.log.read_bytes() == picture.read_bytes(), "another retained message")


def test_mqtt_last_will(world):
    """The tunnel breaks: the broker of messages notices, and tells what was left behind."""
    mqtt = Mosquitto(world)
    heard = mqtt.subscribe("heir", mqtt.direct, "house/will", "-C", 1)
    mqtt.subscribe("mortal", mqtt.far, "house/nothing", "--will-topic", "house/will",
                   "--will-payload", "gone", "--will-qos", 2)
    mqtt.tunnel.kill()
    wait_until(lambda: not heard.is_running(), 60, "the last will is told")
    check(heard.text() == "gone\n", f"{heard.text()!r}")
