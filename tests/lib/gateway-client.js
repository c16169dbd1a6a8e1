// The story of a client of the gateway, as Node tells it: reserve, read, cancel, and hear of it by events, with a reconnect after the first.
//
// Usage: node gateway-client.js fetch|EventSource URL TOKEN ITEM KEY     prints {"approved", "seen", "cancelled", "events": [[id, status], ...]}
//
// EventSource is Debian's node-eventsource (NODE_PATH=/usr/share/nodejs). Its reconnect is its own: what is between breaks the connection.
const net = require("node:net");

const [way, base, token, item, key] = process.argv.slice(2);
const headers = { Authorization: "Bearer " + token };

async function ask(method, path, more, body) {
  let answer;
  do answer = await fetch(base + path, { method, headers: { ...headers, ...more }, body: body && JSON.stringify(body) });
  while (answer.status === 202); // a view may be a moment behind
  const json = await answer.json();
  if (answer.status !== 200) throw new Error(method + " " + path + ": " + answer.status + " " + JSON.stringify(json));
  return json;
}

// Events from fetch's stream, until `enough` of an event is true.
async function listen(last, enough) {
  const answer = await fetch(base + "/events", { headers: last ? { ...headers, "Last-Event-ID": last } : headers });
  let text = "";
  const decoder = new TextDecoder();
  const events = [];
  for await (const bytes of answer.body) {
    text += decoder.decode(bytes, { stream: true });
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const lines = Object.fromEntries(text.slice(0, end).split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (!lines.data) continue;
      events.push([lines.id, JSON.parse(lines.data).status]);
      if (enough(events[events.length - 1])) return events; // which ends the stream
    }
  }
  throw new Error("the stream ended");
}

// Passes bytes on, until cut() breaks what is open.
async function between() {
  const open = new Set();
  const { hostname, port } = new URL(base);
  const server = net.createServer((one) => {
    const other = net.connect(port, hostname);
    for (const [a, b] of [[one, other], [other, one]]) {
      open.add(a);
      a.on("error", () => {}).on("close", () => (open.delete(a), b.destroy()));
      a.pipe(b);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: "http://127.0.0.1:" + server.address().port, cut: () => open.forEach((one) => one.destroy()), close: () => server.close() };
}

async function hear() {
  const path = await between();
  const EventSource = require("eventsource");
  const source = new EventSource(path.url + "/events", { headers });
  const events = [];
  const all = new Promise((done) => {
    source.addEventListener("status", (event) => {
      events.push([event.lastEventId, JSON.parse(event.data).status]);
      if (events.length === 1) path.cut();
      if (events[events.length - 1][1] === "CANCELLED") done(events);
    });
  });
  await new Promise((done) => (source.onopen = done));
  return { all, close: () => (source.close(), path.close(), path.cut()) };
}

async function main() {
  const source = way === "EventSource" && (await hear());
  const first = source || listen(null, () => true);
  const approved = await ask("POST", "/reservations", { "Content-Type": "application/json", "Idempotency-Key": key, Prefer: "wait=30" }, { item_id: item, quantity: 1 });
  const place = "/reservations/" + approved.reservation_id;
  const seen = await ask("GET", place);
  const begun = source ? [] : await first;
  const cancelled = await ask("DELETE", place, { Prefer: "wait=30" });
  const rest = source ? await source.all : await listen(begun[0][0], (event) => event[1] === "CANCELLED");
  if (source) source.close();
  console.log(JSON.stringify({ approved: approved.status, seen: seen.status, cancelled: cancelled.status, events: [...begun, ...rest] }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
