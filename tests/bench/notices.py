"""Notices that wait: notify's calls a second with a receiver that answers at once, after 20 ms, and after 100 ms, none of which costs the receiver much.

Usage: scripts/bench notices [N]     [20000]

N steps of 9,973 customers wait in reservation-events when notify starts; measured from the first thousand to the last."""
import asyncio
import subprocess
import sys
import time

from rig import Run, broker, bulk_producer, encode_value

DELAYS_MS = (0, 20, 100)
FIRST = 1000


class Receiver(asyncio.Protocol):
    delay = 0

    def connection_made(self, transport):
        self.transport, self.text = transport, b""

    def data_received(self, data):
        self.text += data
        head, end, body = self.text.partition(b"\r\n\r\n")
        size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        if end and len(body) >= size:
            self.text = body[size:]
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def receive(delay_ms):
    Receiver.delay = delay_ms / 1000
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def fill(address, topic, count):
    producer = bulk_producer(address)
    for number in range(count):
        step = {"type": "StatusChanged", "reservation_id": "r%d" % number, "customer_id": "c%d" % (number % 9973), "item_id": "hall", "content_hash": 1,
                "revision": 1, "status": "REQUESTED", "reason": "NONE", "quantity": 1, "seats": [], "option": "", "amount": 0, "screen": "", "until": 0,
                "hold": "KEEP"}
        producer.produce(topic, key=step["customer_id"], value=encode_value(step))
        producer.poll(0)
    assert producer.flush(60) == 0


def told(address, count, delay_ms):
    with subprocess.Popen([sys.executable, __file__, "--receive", str(delay_ms)], stdout=subprocess.PIPE, text=True) as receiver:
        try:
            with Run(address, "notices-%d-" % delay_ms) as run:
                run.holdfast("topics", "apply")
                fill(address, "notices-%d-reservation-events" % delay_ms, count)
                run.start("notify", options=["--webhook-url", "http://127.0.0.1:" + receiver.stdout.readline().strip()])
                before, began = run.wait("notify", FIRST, metric="answers_total"), time.time()
                after = run.wait("notify", count, metric="answers_total")
                figures = {name: after[name] - before[name] for name in ("answers_total", "transactions_total", "process_cpu_seconds_total")}
                took = time.time() - began
        finally:
            receiver.terminate()
    print("answers after %3d ms: %5.0f notices/s, %4.1f transactions/s, %3.0f us of CPU a notice" % (
        delay_ms, figures["answers_total"] / took, figures["transactions_total"] / took,
        figures["process_cpu_seconds_total"] / figures["answers_total"] * 1e6), flush=True)


def main():
    if sys.argv[1] == "--receive":
        asyncio.run(receive(int(sys.argv[2])))
    with broker() as address:
        for delay_ms in DELAYS_MS:
            told(address, int(sys.argv[1]), delay_ms)


if __name__ == "__main__":
    main()
