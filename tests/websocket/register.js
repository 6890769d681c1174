// JsSIP registers over WebSocket. argv: ws URL, SIP URI, password. Prints "registered", then waits for
// a line on standard input, un-registers and ends.
"use strict";
const JsSIP = require("jssip");
const NodeWebSocket = require("ws");

const [url, uri, password] = process.argv.slice(2);

// JsSIP wants a browser's WebSocket; `ws` has the same interface.
globalThis.WebSocket = NodeWebSocket;

const agent = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(url)],
  uri,
  password,
  register_expires: 120,
  user_agent: "JsSIP under test",
});
agent.on("registered", () => process.stdout.write("registered\n"));
agent.on("registrationFailed", (data) => {
  process.stdout.write(`failed ${data.cause}\n`);
  agent.stop();
});
agent.on("unregistered", () => process.stdout.write("unregistered\n"));
agent.start();
process.stdin.once("data", (line) => {
  if (String(line).startsWith("drop")) process.exit(0);
  agent.unregister();
  setTimeout(() => process.exit(0), 500);
});
