// A JsSIP phone. argv: WebSocket URL, SIP URI, password, RTP port. Prints an event a line; reads commands, a line each:
// "call URI", "answer", "cancel", "bye". JsSIP hands all media to the browser's RTCPeerConnection; this one describes
// plain RTP at the port, where the test itself listens.
"use strict";
const JsSIP = require("jssip");
const NodeWebSocket = require("ws");
const readline = require("readline");

const [url, uri, password, port] = process.argv.slice(2);
const say = (...words) => process.stdout.write(words.join(" ") + "\n");

class Description {
  constructor({ type, sdp }) {
    Object.assign(this, { type, sdp });
  }
}

class PlainRtp {
  constructor() {
    this.iceGatheringState = "complete";
    this.iceConnectionState = "connected";
    this.signalingState = "stable";
  }
  describe(type) {
    const lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", `m=audio ${port} RTP/AVP 0`,
      "a=rtpmap:0 PCMU/8000", "a=sendrecv", ""];
    return Promise.resolve(new Description({ type, sdp: lines.join("\r\n") }));
  }
  createOffer() { return this.describe("offer"); }
  createAnswer() { return this.describe("answer"); }
  setLocalDescription(description) {
    this.localDescription = description;
    return Promise.resolve();
  }
  setRemoteDescription(description) {
    say("media", /^m=audio (\d+)/m.exec(description.sdp)[1]);
    return Promise.resolve();
  }
  getSenders() { return []; }
  addEventListener() {}
  removeEventListener() {}
  close() {}
}

Object.assign(globalThis, { window: globalThis, WebSocket: NodeWebSocket, RTCPeerConnection: PlainRtp, RTCSessionDescription: Description });

const options = { mediaConstraints: { audio: false, video: false } };
const agent = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(url)], uri, password, register_expires: 120 });
let session = null;

agent.on("registered", () => say("registered"));
agent.on("registrationFailed", (event) => say("failed", event.cause));
agent.on("newRTCSession", (event) => {
  session = event.session;
  if (event.originator === "remote") say("incoming", session.remote_identity.uri.user);
  session.on("progress", (progress) => {
    if (progress.originator === "remote") say("progress", progress.response.status_code);
  });
  session.on("confirmed", () => say("confirmed"));
  session.on("ended", (end) => say("ended", end.originator, end.cause));
  session.on("failed", (end) => say("ended", end.originator, end.cause));
});

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [command, target] = line.split(" ");
  if (command === "call") agent.call(target, options);
  else if (command === "answer") session.answer(options);
  else session.terminate();
}).on("close", () => process.exit(0));
agent.start();
