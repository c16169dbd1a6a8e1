#!/usr/bin/env python3
"""In place of kube-proxy and of DNS: answers at an address for a service, by whichever of its pods is ready and not about to end.

Usage: services.py --kubeconfig FILE --namespace NAME SERVICE:PORT=ADDRESS:PORT ...

Example: services.py --kubeconfig build/cluster/data/kubeconfig --namespace default holdfast-gateway:8080=127.0.0.1:18080
"""
import argparse
import asyncio
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from api import Api, Watch


def is_ready(pod):
    return "deletionTimestamp" not in pod["metadata"] and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


class Service:
    """One port of it."""

    def __init__(self, found, port):
        self.selector = found["spec"]["selector"]
        self.target = next(one["targetPort"] for one in found["spec"]["ports"] if one["port"] == port)
        self.places, self.turns = {}, itertools.count()

    def take(self, pod, gone):
        labels = pod["metadata"].get("labels", {})
        if not gone and is_ready(pod) and all(labels.get(name) == value for name, value in self.selector.items()):
            numbers = {port.get("name"): port["containerPort"] for one in pod["spec"]["containers"] for port in one.get("ports", [])}
            self.places[pod["metadata"]["uid"]] = pod["status"]["podIP"], numbers.get(self.target, self.target)
        else:
            self.places.pop(pod["metadata"]["uid"], None)

    async def serve(self, reader, writer):
        places = list(self.places.values())
        try:
            there = await asyncio.open_connection(*places[next(self.turns) % len(places)])
        except (OSError, ZeroDivisionError):
            writer.transport.abort()  # as the machine of a pod that is not there would
            return
        asked = asyncio.create_task(self.copy(reader, there[1]))
        await self.copy(there[0], writer)  # the end of the answer is that of the connection
        asked.cancel()
        for one in (writer, there[1]):
            one.close()

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.transport.abort()


async def serve(options):
    api, services = Api(options.kubeconfig), []
    for text in options.services:
        (name, port), (address, own) = (part.rsplit(":", 1) for part in text.split("="))
        service = Service(api.get("/api/v1/namespaces/%s/services/%s" % (options.namespace, name)), int(port))
        services.append(service)
        await asyncio.start_server(service.serve, address, int(own), backlog=1024)
    Watch(api, "/api/v1/namespaces/%s/pods" % options.namespace, lambda pod, gone: [one.take(pod, gone) for one in services]).start()
    print("serving", flush=True)
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    parser.add_argument("--kubeconfig")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("services", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    options = parser.parse_args()
    if options.help or not (options.kubeconfig and options.services):
        print(__doc__)
        return 0 if options.help else 64
    asyncio.run(serve(options))


if __name__ == "__main__":
    sys.exit(main())
